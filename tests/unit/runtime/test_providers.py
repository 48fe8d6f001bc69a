"""Providers of ONNX Runtime that are not the CPU, with a stand-in for the hardware."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from furiosa_models.enums import RuntimeType
from furiosa_models.errors import BackendUnavailable
from furiosa_models.export.targets import device_of
from furiosa_models.runtime import devices
from furiosa_models.runtime.backends import backends_for, find_backend, providers
from furiosa_models.runtime.devices import choose
from furiosa_models.runtime.doctor import diagnose
from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import MobileNetV2

CUDA, TENSORRT, CPU = (
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "CPUExecutionProvider",
)


class Machine:
    """A machine with ONNX Runtime for GPUs; its sessions compute on the CPU.

    Attributes:
        available: Providers that ONNX Runtime lists.
        working: Providers that sessions get; ONNX Runtime leaves out the others.
        installed: Installed packages.
        asked: Providers of each session.
        broken: Why the library of a provider cannot be loaded.
    """

    def __init__(self) -> None:
        self.available = [TENSORRT, CUDA, CPU]
        self.working = [TENSORRT, CUDA, CPU]
        self.installed = {"onnxruntime-gpu": "1.31.1"}
        self.asked: list[list[Any]] = []
        self.broken: str | None = None

    def create_session(self, model: Any, options: Any, chain: Any) -> Any:
        self.asked.append(list(chain))
        names = [each if isinstance(each, str) else each[0] for each in chain]
        session = onnxruntime.InferenceSession(model, options, providers=[CPU])
        session.get_providers = lambda: [name for name in names if name in self.working]
        return session


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setattr(providers, "_available", lambda: made.available)
    monkeypatch.setattr(providers, "installed_version", made.installed.get)
    monkeypatch.setattr(providers, "create_session", made.create_session)
    monkeypatch.setattr(providers, "_preload", lambda: None)
    monkeypatch.setattr(providers, "_loading_error", lambda _: made.broken)
    for module in (providers, devices):
        monkeypatch.setattr(module, "provider_library", lambda _: Path("lib.so"))
    providers._problem.cache_clear()
    yield made
    providers._problem.cache_clear()


@pytest.fixture(scope="module")
def model() -> MobileNetV2:
    return MobileNetV2("random")


def test_cuda_runs_with_its_options(
    machine: Machine, model: MobileNetV2, photos: list[Path]
) -> None:
    expected = model.predict(photos[0], device="cpu")
    found = model.predict(photos[0], device="cuda:1")
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    options = {"device_id": "1", "use_tf32": "0"}
    assert machine.asked[-1] == [(CUDA, options), CPU]
    assert len(machine.asked) == 2  # the trial, and the model
    measured = model.benchmark(1, device="cuda:1")
    assert measured.engine == "onnx.CUDAExecutionProvider"


def test_bound_outputs_are_those_that_were_asked_for(machine: Machine, model: MobileNetV2) -> None:
    del machine
    tensor = np.zeros((2, 3, 224, 224), np.uint8)
    with create_runner(model, device="cuda") as runner, create_runner(model, device="cpu") as cpu:
        name = str(runner.model.output(0).name)
        (expected,) = cpu.run(tensor)
        for found in (runner.run(tensor), runner.run_with([name], {"image": tensor})):
            np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_tensorrt_falls_to_cuda_for_what_it_lacks(machine: Machine) -> None:
    choose("tensorrt:1:fp16")
    (first, options), second, third = machine.asked[-1]
    assert (first, second, third) == (TENSORRT, (CUDA, {"device_id": "1", "use_tf32": "0"}), CPU)
    assert options["trt_fp16_enable"] == "True"
    assert Path(options["trt_engine_cache_path"]).is_dir()
    choose("tensorrt")
    assert machine.asked[-1][0][1]["trt_fp16_enable"] == "False"


def test_a_session_on_another_provider_is_an_error(machine: Machine) -> None:
    machine.working = [CPU]
    with pytest.raises(
        BackendUnavailable, match=f"{CUDA} cannot be used: ONNX Runtime chose {CPU}"
    ):
        choose("cuda")


def test_a_library_that_cannot_be_loaded_is_named(machine: Machine) -> None:
    machine.broken = "libcublasLt.so.13: cannot open shared object file"
    with pytest.raises(
        BackendUnavailable, match=r"libcublasLt.so.13.*pip uninstall -y onnxruntime"
    ):
        choose("cuda")
    assert not machine.asked  # nothing was tried


def test_a_provider_that_fails_is_an_error(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del machine

    def fail(*_: object) -> None:
        msg = "CUDA failure 100: no CUDA-capable device is detected\nmore"
        raise RuntimeError(msg)

    monkeypatch.setattr(providers, "create_session", fail)
    with pytest.raises(BackendUnavailable, match="no CUDA-capable device is detected. pip"):
        choose("cuda")


@pytest.mark.parametrize(
    ("installed", "words"),
    [
        ({}, "ONNX Runtime is not installed"),
        ({"onnxruntime": "1.32"}, f"onnxruntime 1.32 has no {CUDA}: pip uninstall -y onnxruntime"),
        ({"onnxruntime": "1.32", "onnxruntime-gpu": "1.31"}, "both installed, and mix their files"),
    ],
)
def test_what_to_install_is_said(installed: dict[str, str], words: str, machine: Machine) -> None:
    machine.available = [CPU]
    machine.installed.clear()
    machine.installed.update(installed)
    with pytest.raises(BackendUnavailable, match=words):
        choose("cuda")
    advice = {fact.topic: fact.advice for fact in diagnose()}
    assert words.split(":")[0] in advice["ONNX Runtime on CUDA"]


def test_the_default_is_a_gpu_that_works(machine: Machine) -> None:
    choice = choose(None)
    assert (choice.backend, choice.device) == ("cuda", "cuda")
    assert "a GPU is available" in choice.reason
    machine.broken = "no driver"
    providers._problem.cache_clear()
    choice = choose("auto")
    assert choice.backend == "onnxruntime"
    assert "no GPU: CUDAExecutionProvider cannot be used: no driver" in choice.reason


def test_the_default_does_not_look_for_gpus_without_the_package() -> None:
    assert choose(None).reason == "no NPU"


@pytest.mark.parametrize(
    "device", ["cuda", "cuda:0", "tensorrt", "tensorrt:fp16", "tensorrt:1:fp16", "coreml"]
)
def test_devices_without_hardware_are_refused_with_the_reason(device: str) -> None:
    with pytest.raises(BackendUnavailable, match="device='cpu' works on every machine"):
        choose(device)


@pytest.mark.parametrize("device", ["cuda:", "cuda:x", "tensorrt:fp8", "coreml:1", "openvino:TPU"])
def test_malformed_devices_are_no_devices(device: str) -> None:
    with pytest.raises(ValueError, match="is not a device"):
        choose(device)


def test_every_runtime_type_has_a_backend() -> None:
    for kind in RuntimeType:
        assert next(backends_for(device_of(kind)), None) is not None


def test_names_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = find_backend("cuda")
    assert backend is not None
    providers._gpu_name.cache_clear()
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "NVIDIA X\n", "")
    )
    assert backend.device_name("cuda:2") == "NVIDIA X"
    providers._gpu_name.cache_clear()

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert backend.device_name("cuda:2") == "GPU 2"
    providers._gpu_name.cache_clear()


@pytest.mark.parametrize("device", ["openvino:GPU", "openvino:GPU.1", "openvino:NPU"])
def test_openvino_names_the_devices_that_it_has(device: str) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(BackendUnavailable, match="OpenVINO has no .*; it has CPU"):
        choose(device)


def test_openvino_takes_its_cpu_by_name(model: MobileNetV2) -> None:
    pytest.importorskip("openvino")
    assert choose("openvino:CPU:f32").backend == "openvino"
    assert model.benchmark(1, device="openvino").engine == "openvino"
