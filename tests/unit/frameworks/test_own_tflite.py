"""TensorFlow Lite files as the user's weights."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from furiosa_models import Classifier
from furiosa_models.errors import ConversionError, FuriosaModelsError
from furiosa_models.runtime.backends import litert
from tests.unit.frameworks.tflite.samples import quantized, small

LABELS = ["a", "b", "c", "d"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(small())
    return path


def test_float_file_is_quantized(file: Path, photos: list[Path]) -> None:
    model = Classifier(file, labels=LABELS, input={"std": (255,) * 3})
    int8 = model.quantize(photos, max_photos=3)
    assert int8.quantization is not None
    exact, rounded = (m.predict(photos[0], top_k=4) for m in (model, int8))
    assert exact.class_ids[0] == rounded.class_ids[0]
    np.testing.assert_allclose(rounded.scores, exact.scores, atol=0.05)


def test_file_runs_without_litert(
    file: Path,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = Classifier(file, labels=LABELS).predict(photos[0], top_k=4)
    monkeypatch.setattr(litert, "is_installed", lambda: False)
    caplog.set_level(logging.INFO)
    found = Classifier(file, labels=LABELS).predict(photos[0], top_k=4)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    assert "converting TensorFlow Lite to ONNX, as LiteRT is missing" in caplog.text


def test_quantized_file_is_not_quantized_again(photos: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "int8.tflite"
    path.write_bytes(quantized())
    with pytest.raises((FuriosaModelsError, ConversionError)):
        Classifier(path).quantize(photos, max_photos=1)
