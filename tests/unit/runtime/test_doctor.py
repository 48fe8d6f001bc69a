from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from furiosa_models.runtime import doctor
from furiosa_models.runtime.backends import furiosa, litert, openvino

from .fake_vendor import forget, install_with_device


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget()


def facts() -> dict[str, doctor.Fact]:
    return {fact.topic: fact for fact in doctor.diagnose()}


def test_machine_without_an_npu() -> None:
    found = facts()
    assert found["NPU"].finding == "none; models run without one"
    assert {"vendor runtime", "driver library", "compiler", "device files"}.isdisjoint(found)
    assert found["models run on"].finding == "the CPU, by ONNX Runtime"
    assert found["models run on"].advice == "no NPU"
    assert all(fact.is_fine is not False for fact in found.values())
    assert not any("furiosa-runtime" in fact.advice for fact in found.values())
    assert found["ONNX Runtime"].finding.startswith("1.")
    assert found["cache"].is_fine
    assert found["compiled programs"].finding.startswith("0 with 0 MiB")


def test_machine_with_an_npu_but_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(furiosa, "device_files", lambda: [Path("/dev/npu0")])
    found = facts()
    assert found["NPU"].is_fine is False
    assert "pip install furiosa-runtime" in found["NPU"].advice
    assert "pip install furiosa-runtime" in found["models run on"].advice
    assert found["device files"].finding == "/dev/npu0"
    assert found["compiler"].finding == "no furiosa-compiler that answers"


def test_optional_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    found = facts()
    assert found["OpenVINO"].finding.startswith("20")
    assert found["LiteRT"].finding[0].isdigit()
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "openvino")
    assert facts()["models run on"].finding == "the CPU, by OpenVINO"
    for backend in (litert, openvino):
        monkeypatch.setattr(backend, "installed_version", lambda _: None)
    found = facts()
    assert found["OpenVINO"].advice.startswith("device='openvino': pip install")
    assert found["LiteRT"].advice.startswith("TensorFlow Lite models: pip install")


def test_machine_with_an_npu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_with_device(monkeypatch, tmp_path)
    compiler = tmp_path / "furiosa-compiler"
    compiler.write_text("#!/bin/sh\nprintf 'backend:\\n- version: 0.10.1\\n- revision: abc\\n'\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = facts()
    assert found["NPU"].finding == "answers"
    assert found["compiler"].finding == "furiosa-compiler 0.10.1_abc"
    assert found["models run on"].finding == "the NPU"


def test_unavailable_requested_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_DEVICES", "warboy(2)*1")
    monkeypatch.setenv("FURIOSA_MODELS_COMPILED", "0")
    found = facts()
    assert found["environment"].finding == "FURIOSA_DEVICES=warboy(2)*1"
    assert found["models run on"].is_fine is False
    assert "is not available" in found["models run on"].advice
    assert "disabled" in found["compiled programs"].finding


def test_failing_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "furiosa-compiler"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(furiosa, "device_files", lambda: [Path("/dev/npu0")])
    assert facts()["compiler"].finding == "no furiosa-compiler that answers"
