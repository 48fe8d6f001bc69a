from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from furiosa_models.errors import BackendUnavailable
from furiosa_models.runtime.devices import choose, npu_problem

VENDOR = "furiosa.runtime.sync"


@pytest.fixture(autouse=True)
def _forget() -> None:
    npu_problem.cache_clear()


def install_vendor(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    """Put a vendor package on the path whose import does what `body` says."""
    package = folder / "furiosa" / "runtime"
    package.mkdir(parents=True)
    (folder / "furiosa" / "__init__.py").touch()
    (package / "__init__.py").write_text(body)
    (package / "sync.py").touch()
    for name in [name for name in sys.modules if name.partition(".")[0] == "furiosa"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(folder))


def test_without_the_vendor_package_the_cpu_is_chosen_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    choice = choose(None)
    assert choice.backend == "onnxruntime"
    assert "furiosa-runtime is not installed" in choice.reason
    assert caplog.messages == [f"running on onnxruntime: {choice.reason}"]


@pytest.mark.parametrize("error", ["RuntimeError", "OSError", "SystemExit", "ImportError"])
def test_a_vendor_package_that_does_not_import_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: str
) -> None:
    install_vendor(monkeypatch, tmp_path, f"raise {error}('libfuriosa_hal.so: cannot open')")
    assert "libfuriosa_hal.so" in choose("auto").reason
    with pytest.raises(BackendUnavailable, match=r"libfuriosa_hal\.so.*driver"):
        choose("warboy(2)*1")


def test_a_vendor_package_without_a_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_vendor(monkeypatch, tmp_path, "")
    monkeypatch.setattr("furiosa_models.runtime.devices._DEVICE_FILES", "no-such-device*")
    assert "no device file" in choose(None).reason


def test_an_npu_that_answers_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_vendor(monkeypatch, tmp_path, "")
    monkeypatch.setattr("furiosa_models.runtime.devices._DEVICE_FILES", "null")
    assert choose(None).backend == "furiosa"
    assert choose("npu:0:0-1").device == "npu:0:0-1"
    assert choose("cpu").backend == "onnxruntime"


def test_explicit_beats_environment_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPU_DEVNAME", "npu0pe0-1")
    with pytest.raises(BackendUnavailable, match="NPU_DEVNAME orders 'npu0pe0-1'"):
        choose(None)
    monkeypatch.setenv("FURIOSA_DEVICES", "cpu")
    assert choose(None).reason == "FURIOSA_DEVICES orders the CPU"
    with pytest.raises(BackendUnavailable, match="the argument device orders"):
        choose("warboy*1")
    assert choose("auto").backend == "onnxruntime"


@pytest.mark.parametrize("device", ["gpu", "warboy", "npu:0", "", "warboy(2)*1,gpu"])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises((ValueError, BackendUnavailable)):
        choose(device)
