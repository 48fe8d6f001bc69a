"""Preprocessing, under the import path of our first version."""

from __future__ import annotations

from ..images.preprocess import normalize, prepare
from ..spec import ImageContext, ImageInput, as_context

__all__ = ["ImageContext", "ImageInput", "as_context", "normalize", "prepare"]
