"""Preprocessing, under the import paths of furiosa-models 0.10 and of the first version."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from ..images.preprocess import normalize, prepare
from ..images.read import read_image
from ..images.resize import resize
from ..spec import ImageContext, ImageInput, Interpolation, as_context

__all__ = [
    "ImageContext",
    "ImageInput",
    "as_context",
    "center_crop",
    "normalize",
    "prepare",
    "read_image_opencv_if_needed",
    "resize_with_aspect_ratio",
]

Pixels = npt.NDArray[np.uint8]

_CV2_INTERPOLATIONS: dict[int, Interpolation] = {1: "opencv_linear", 3: "opencv_area"}


def center_crop(image: Pixels, cropped_height: int, cropped_width: int) -> Pixels:
    """Return the center of an image.

    Args:
        image: (h, w, 3) uint8 pixels.
        cropped_height: Height of the result in pixels.
        cropped_width: Width of the result in pixels.

    Returns:
        A view of the image.
    """
    height, width, _ = image.shape
    top, bottom = int((height - cropped_height) / 2), int((height + cropped_height) / 2)
    left, right = int((width - cropped_width) / 2), int((width + cropped_width) / 2)
    return image[top:bottom, left:right]


def resize_with_aspect_ratio(
    image: Pixels, scaled_height: int, scaled_width: int, percent: float, interpolation: int
) -> Pixels:
    """Resize an image for a center crop, keeping its aspect ratio.

    Args:
        image: (h, w, 3) uint8 pixels.
        scaled_height: Height of the center crop in pixels.
        scaled_width: Width of the center crop in pixels.
        percent: Percentage of the shorter side that the center crop covers.
        interpolation: `cv2.INTER_LINEAR` (1) or `cv2.INTER_AREA` (3).

    Raises:
        ValueError: The interpolation is not supported.
    """
    if interpolation not in _CV2_INTERPOLATIONS:
        msg = f"interpolation must be 1 (INTER_LINEAR) or 3 (INTER_AREA), got {interpolation}"
        raise ValueError(msg)
    height, width, _ = image.shape
    new_height, new_width = (
        int(100.0 * scaled_height / percent),
        int(100.0 * scaled_width / percent),
    )
    if height > width:
        new_height = int(new_height * height / width)
    else:
        new_width = int(new_width * width / height)
    return resize(image, (new_height, new_width), _CV2_INTERPOLATIONS[interpolation])


def read_image_opencv_if_needed(image: str | os.PathLike[str] | Pixels) -> Pixels:
    """Decode a file to BGR pixels, (h, w, 3) uint8; return an array unchanged.

    Raises:
        ImageError: The file is missing or not a photo.
    """
    if isinstance(image, np.ndarray):
        return image
    return np.ascontiguousarray(read_image(image).rgb[:, :, ::-1])
