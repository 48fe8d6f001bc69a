"""TensorFlow Lite: files and bytes, converted to ONNX without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .file import is_tflite
from .model import TfliteModel

__all__ = ["TfliteModel", "recognize"]


def recognize(source: Any, **options: Any) -> TfliteModel | None:
    """Return the model of a TensorFlow Lite file or of its bytes.

    Raises:
        WeightsError: A file is named `.tflite`, but has other contents.
    """
    if isinstance(source, bytes):
        return TfliteModel(source, **options) if is_tflite(source) else None
    if not isinstance(source, Path) or not source.is_file():
        return None
    if source.suffix.lower() == ".tflite" or is_tflite(_first_bytes(source)):
        return TfliteModel(source.read_bytes(), form="file", **options)
    return None


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)
