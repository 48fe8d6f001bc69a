from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import BackendUnavailable
from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize
from furiosa_models.runtime import compiled, doctor
from furiosa_models.runtime.backends import Setup, openvino
from furiosa_models.runtime.backends.openvino import OpenVinoBackend
from furiosa_models.runtime.devices import choose
from furiosa_models.runtime.machine import available_cpus
from furiosa_models.runtime.sync import Runtime, create_queue, create_runner
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

from .test_compiled import MODEL, PIXELS
from .tiny import make_model

DEVICE = "openvino"
PIP = r"pip install .*furiosa-model-zoo\[openvino\]"


@pytest.fixture
def _absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "openvino", None)
    openvino._core.cache_clear()
    yield
    openvino._core.cache_clear()


@pytest.mark.usefixtures("_absent")
def test_missing_extra_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for make in (create_runner, create_queue):
        with pytest.raises(BackendUnavailable, match=PIP):
            make(make_model(), device=DEVICE)
    with pytest.raises(BackendUnavailable, match="the argument device requests 'openvino:bf16'"):
        Runtime("openvino:bf16")
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", DEVICE)
    with pytest.raises(BackendUnavailable, match=f"FURIOSA_MODELS_DEVICE requests.*{PIP}"):
        EfficientNetLite0(weights="random").predict(np.zeros((9, 9, 3), np.uint8))
    found = {fact.topic: fact for fact in doctor.diagnose()}
    assert found["models run on"].is_fine is False
    assert "furiosa-model-zoo[openvino]" in found["models run on"].advice


def test_openvino_that_fails_to_import(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def failing(name: str, *args: Any) -> Any:
        if name == "openvino":
            msg = "libtbb.so.12: cannot open shared object file"
            raise ImportError(msg)
        return real(name, *args)

    openvino._core.cache_clear()
    monkeypatch.setattr(builtins, "__import__", failing)
    problem = OpenVinoBackend().problem()
    assert problem is not None
    assert "cannot be imported (libtbb.so.12" in problem


def test_too_old_openvino_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "furiosa_models.runtime.backends.openvino.installed_version", lambda _: "2025.3.0"
    )
    with pytest.raises(BackendUnavailable, match=f"2025.3.0 is too old, 2025.4 is needed: {PIP}"):
        choose(DEVICE)


def test_unsupported_precision_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, *_: object) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "_core", Core)
    assert OpenVinoBackend().problem() is None
    with pytest.raises(BackendUnavailable, match="does not compute in bf16; it has f32"):
        choose("openvino:bf16")


@pytest.mark.parametrize("device", ["openvino:fp32", "openvino:", "openvino:int8", "OpenVINO"])
def test_invalid_device_strings_are_rejected(device: str) -> None:
    with pytest.raises(ValueError, match=r"is not a device: expected 'cpu', 'openvino'"):
        choose(device)


def test_device_is_requested_by_argument() -> None:
    assert choose("openvino:f32").backend == choose(DEVICE).backend == DEVICE
    assert choose(DEVICE).reason == "the argument device requests 'openvino'"


def test_device_is_requested_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", DEVICE)
    with create_runner(make_model()) as runner:
        assert runner.backend == "openvino"
    with create_runner(make_model(), device="cpu") as runner:
        assert runner.backend == "onnxruntime"


def properties(session: Any, *names: str) -> list[Any]:
    """Return properties of the compiled model of a session."""
    with session._requests.borrow() as request:
        compiled_model = request.get_compiled_model()
        return [compiled_model.get_property(name) for name in names]


NAMES = ("INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT")


def test_openvino_settings() -> None:
    with create_runner(MODEL, device=DEVICE, worker_num=1) as runner:
        precision, *rest = properties(runner._session, *NAMES)
        assert precision.to_string() == "f32"
        assert [int(rest[0]), int(rest[1]), str(rest[2]).split(".")[-1]] == [1, 1, "LATENCY"]
    cpus = available_cpus()  # OpenVINO never uses more threads than these
    of_a_queue = OpenVinoBackend().load(MODEL, Setup(threads=1, parallel=cpus, device=DEVICE))
    assert [int(value) for value in properties(of_a_queue, *NAMES)[1:3]] == [cpus, cpus]


def outputs(device: str = DEVICE) -> npt.NDArray[np.float32]:
    with create_runner(MODEL, device=device) as runner:
        (result,) = runner.run(PIXELS)
        return result


def test_compiled_programs_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    first = outputs()
    (entry,) = compiled.entries()
    assert entry.is_current
    assert entry.made_by.startswith("openvino 20")
    assert entry.made_by.endswith(" fused CPU:f32")
    assert {path.name for path in entry.path.iterdir()} == {"entry.json", "model.blob"}
    monkeypatch.setattr(openvino._Loader, "load", None)  # compilation would fail now
    np.testing.assert_array_equal(outputs(), first)


def test_each_backend_has_its_own_cache_entry() -> None:
    outputs("cpu")
    outputs()
    made_by = [entry.made_by.split()[0] for entry in compiled.entries() if entry.is_current]
    assert made_by == ["onnxruntime", "openvino"]


def test_damaged_program_is_recompiled() -> None:
    first = outputs()
    (entry,) = compiled.entries()
    blob = entry.path / "model.blob"
    blob.write_bytes(bytes(blob.stat().st_size))
    np.testing.assert_array_equal(outputs(), first)
    (again,) = compiled.entries()
    assert again.is_current


def test_cached_program_that_openvino_rejects_is_recompiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = outputs()

    def refuse(*_: object) -> None:
        msg = "Check 'requirements_magic == runtime_requirements_magic' failed"
        raise RuntimeError(msg)

    with monkeypatch.context() as context:
        context.setattr(openvino._Loader, "open", refuse)
        np.testing.assert_array_equal(outputs(), first)
    assert len(compiled.entries()) == 1


def difference(model: Any, tensor: npt.NDArray[Any], device: str = DEVICE) -> float:
    """Return the maximum difference from ONNX Runtime, relative to the maximum of each output."""
    with create_runner(model, device="cpu") as ort, create_runner(model, device=device) as ours:
        assert [d.name for d in ours.model.outputs()] == [d.name for d in ort.model.outputs()]
        assert [d.dtype for d in ours.model.outputs()] == [d.dtype for d in ort.model.outputs()]
        assert ours.takes_batches == ort.takes_batches
        pairs = list(zip(ours.run(tensor), ort.run(tensor), strict=True))
    assert all(mine.shape == theirs.shape for mine, theirs in pairs)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def pixels(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_outputs_agree_with_onnx_runtime() -> None:
    assert difference(MODEL, PIXELS) < 1e-5
    assert difference(SSDMobileNet(weights="random"), pixels(2, 3, 300, 300)) < 1e-5


def test_bf16_is_used_on_request() -> None:
    if OpenVinoBackend().problem("openvino:bf16"):
        with pytest.raises(BackendUnavailable, match="does not compute in bf16"):
            create_runner(MODEL, device="openvino:bf16")
        return
    assert 1e-5 < difference(MODEL, PIXELS, "openvino:bf16") < 0.05
    assert compiled.entries()[-1].made_by.endswith(" bf16")


def test_int8_programs_agree_with_onnx_runtime() -> None:
    model = EfficientNetLite0(weights="random")
    program, image = model.model_source(), pixels(1, 3, 224, 224)
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[image]])
    int8 = quantize(program, calibrator.compute_range())
    assert difference(int8, image) < 0.1
    with create_runner(program, device="cpu") as runner:
        (wanted,) = runner.run(image)
    with create_runner(int8, device=DEVICE) as runner:
        (got,) = runner.run(image)
    assert np.corrcoef(wanted[0], got[0])[0, 1] > 0.95


def test_model_predicts_on_openvino() -> None:
    with EfficientNetLite0(weights="random") as model:
        photo = pixels(50, 60, 3)
        on_cpu, here = model.predict(photo, device="cpu"), model.predict(photo, device=DEVICE)
        np.testing.assert_array_equal(here.class_ids, on_cpu.class_ids)
        np.testing.assert_allclose(here.scores, on_cpu.scores, rtol=1e-4)


def test_each_batch_size_has_its_own_cache_entry() -> None:
    batch = np.concatenate([PIXELS, PIXELS])
    first = outputs()
    for _ in range(2):
        with create_runner(MODEL, device=DEVICE, batch_size=2) as runner:
            np.testing.assert_allclose(runner.run(batch)[0][1:], first, rtol=1e-5)
    assert len(compiled.entries()) == 2
