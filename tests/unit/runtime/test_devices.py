from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from furiosa_models.errors import BackendUnavailable
from furiosa_models.runtime.devices import (
    NpuSpec,
    choose,
    defaults_to_npu,
    makes_npu_programs,
    parse_devices,
)

from .fake_vendor import forget, install


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget()


def test_without_the_vendor_package_the_cpu_is_chosen_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    choice = choose(None)
    assert choice.backend == "onnxruntime"
    assert choice.reason == "no NPU"
    assert caplog.messages == [f"running on onnxruntime: {choice.reason}"]


@pytest.mark.parametrize("error", ["RuntimeError", "OSError", "SystemExit", "ImportError"])
def test_vendor_package_that_fails_to_import_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: str
) -> None:
    install(monkeypatch, tmp_path, f"raise {error}('libfuriosa_hal.so: cannot open')")
    assert "libfuriosa_hal.so" in choose("auto").reason
    with pytest.raises(BackendUnavailable, match=r"libfuriosa_hal\.so.*driver"):
        choose("warboy(2)*1")


def test_vendor_package_without_a_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "")
    monkeypatch.setattr("furiosa_models.runtime.backends.furiosa._DEVICE_FILES", "no-such-device*")
    assert "no device file" in choose(None).reason


def test_working_npu_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "")
    monkeypatch.setattr("furiosa_models.runtime.backends.furiosa._DEVICE_FILES", "null")
    assert choose(None).backend == "furiosa"
    assert choose("npu:0:0-1").device == "npu:0:0-1"
    assert choose("cpu").backend == "onnxruntime"


def test_argument_precedes_environment_precedes_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPU_DEVNAME", "npu0pe0-1")
    with pytest.raises(BackendUnavailable, match="NPU_DEVNAME requests 'npu0pe0-1'"):
        choose(None)
    monkeypatch.setenv("FURIOSA_DEVICES", "cpu")
    assert choose(None).reason == "FURIOSA_DEVICES requests 'cpu'"
    with pytest.raises(BackendUnavailable, match="the argument device requests"):
        choose("warboy*1")
    assert choose("auto").backend == "onnxruntime"


def test_furiosa_models_device_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_DEVICES", "warboy(2)*1")
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "cpu")
    assert choose(None).reason == "FURIOSA_MODELS_DEVICE requests 'cpu'"
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "npu")
    with pytest.raises(BackendUnavailable, match="FURIOSA_MODELS_DEVICE requests 'npu'"):
        choose(None)
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "auto")
    assert choose(None).backend == "onnxruntime"


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("warboy(2)*1", [NpuSpec(2)]),
        ("warboy(1)*3", [NpuSpec(1, 3)]),
        ("warboy*2", [NpuSpec(1, 2)]),
        ("npu:0:1", [NpuSpec(1, 1, 0, 1)]),
        ("npu:12:0-1", [NpuSpec(2, 1, 12, 0)]),
        ("npu0pe0", [NpuSpec(1, 1, 0, 0)]),
        ("npu1pe0-1", [NpuSpec(2, 1, 1, 0)]),
        ("npu:1:0, npu:1:1", [NpuSpec(1, 1, 1, 0), NpuSpec(1, 1, 1, 1)]),
        ("warboy*1,npu0pe1", [NpuSpec(1), NpuSpec(1, 1, 0, 1)]),
    ],
)
def test_device_strings_are_parsed(text: str, specs: list[NpuSpec]) -> None:
    assert list(parse_devices(text)) == specs


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gpu", "expected NPUs as in"),
        ("warboy", "expected"),
        ("npu:0", "expected"),
        ("npu0", "expected"),
        ("", "expected"),
        ("CPU", "expected"),
        ("warboy(2)*1,", "'' is not a device"),
        ("warboy(2)*1,gpu", "'gpu' is not a device"),
        ("renegade*1", "no architecture 'renegade'"),
        ("warboy(3)*1", "1 or 2 processing elements"),
        ("warboy(0)*1", "1 or 2 processing elements"),
        ("warboy*0", "number of devices must be at least 1"),
        ("npu:0:2", "elements 0, 1 and 0-1"),
        ("npu:0:1-0", "elements 0, 1 and 0-1"),
        ("npu:0:1-1", "elements 0, 1 and 0-1"),
        ("npu:0:0-2", "elements 0, 1 and 0-1"),
        ("npu:-1:0", "expected"),
    ],
)
def test_invalid_device_strings_are_rejected(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_devices(text)
    with pytest.raises(ValueError, match="the argument device: "):
        choose(text)


def test_error_lists_the_valid_device_strings() -> None:
    with pytest.raises(ValueError, match=r"'gpu' is not a device: expected .*'auto'") as caught:
        choose("gpu")
    assert str(caught.value) == (
        "the argument device: 'gpu' is not a device: expected 'cpu', 'openvino', 'openvino:bf16', "
        "'openvino:GPU', 'torch', 'torch:cpu', 'torch:cuda:0', 'cuda', 'cuda:1', 'tensorrt', "
        "'tensorrt:fp16', 'coreml', 'npu', NPUs as in 'warboy(2)*1', 'warboy*1', 'npu:0:0', "
        "'npu:0:0-1' joined by commas, or 'auto'"
    )


def test_environment_decides_between_npu_and_cpu_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "")
    monkeypatch.setattr("furiosa_models.runtime.backends.furiosa._DEVICE_FILES", "null")
    for device, is_npu in (("auto", True), ("npu", True), ("warboy*1", True), ("cpu", False)):
        monkeypatch.setenv("FURIOSA_MODELS_DEVICE", device)
        assert makes_npu_programs() is defaults_to_npu() is is_npu
