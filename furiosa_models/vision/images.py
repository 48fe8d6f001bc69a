"""Photos, under the import path of this package's first version; see `furiosa_models.images`."""

from __future__ import annotations

from ..images.read import MAX_PIXELS, Color, DecodedImage, ImageSource, read_image

__all__ = ["MAX_PIXELS", "Color", "DecodedImage", "ImageSource", "read_image"]
