"""Preprocessing, under the import path of our first version."""

from __future__ import annotations

from ..images.preprocess import ImageContext, ImageInput, as_context, normalize, prepare

__all__ = ["ImageContext", "ImageInput", "as_context", "normalize", "prepare"]
