"""Common behavior of the CPU backends, except for the contract of runners."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from furiosa_models.runtime.backends.base import Pool
from furiosa_models.runtime.errors import FuriosaRuntimeError
from furiosa_models.runtime.source import is_tflite
from furiosa_models.runtime.sync import create_runner

from . import tiny, tiny_tflite


def test_tflite_models_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(tiny_tflite.make_model())
    onnx = tmp_path / "model.onnx"
    onnx.write_bytes(tiny.make_model().SerializeToString())
    assert is_tflite(str(path))
    assert is_tflite(path.read_bytes())
    assert is_tflite("nowhere/MODEL.TFLITE")
    assert not is_tflite(str(onnx))
    assert not is_tflite("nowhere/model.onnx")
    assert not is_tflite(b"TFL3")


@pytest.mark.parametrize("model", [b"", b"ENF or so", "nowhere.onnx"])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_invalid_models_raise_runtime_error(model: bytes | str, device: str) -> None:
    name = f"{len(model)} bytes given" if isinstance(model, bytes) else model
    with pytest.raises(FuriosaRuntimeError, match=f"cannot load .*{name}"):
        create_runner(model, device=device)


def test_invalid_environment_variable_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_COMPILED", "2")
    with pytest.raises(ValueError, match="^FURIOSA_MODELS_COMPILED='2' is neither on nor off"):
        create_runner(tiny.make_model(), device="cpu")


def test_pool_creates_on_demand_and_drops_failed_items() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made) + 1)
        return made[-1]

    pool = Pool(0, make, 2)
    taken = threading.Event()

    def take() -> None:
        with pool.borrow():
            taken.set()

    with pool.borrow() as first, pool.borrow() as second:
        assert (first, second) == (0, 1)
        waiting = threading.Thread(target=take)
        waiting.start()
        assert not taken.wait(0.05)
    waiting.join(5)
    assert taken.is_set()
    with pytest.raises(ZeroDivisionError), pool.borrow() as failing:
        failing / 0
    assert failing in (0, 1)
    with pool.borrow() as fresh:
        assert fresh == 2
