"""Input specifications that networks share."""

from __future__ import annotations

from ..spec import ImageInput, Interpolation

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "SSD_300", "SSD_300_MAPS", "imagenet", "yolo"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

SSD_300 = ImageInput(
    size=(300, 300),
    resize="stretch",
    interpolation="opencv_linear",
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
)
"""TensorFlow's SSD at 300 pixels."""

SSD_300_MAPS = (19, 10, 5, 3, 2, 1)
"""Sides of its feature maps, finest first."""


def imagenet(
    size: int,
    resize_to: int,
    interpolation: Interpolation,
    *,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> ImageInput:
    """The center of a photo, as classifiers of ImageNet are measured on it.

    Args:
        size: Height and width of the input.
        resize_to: Shorter side before the crop.
        interpolation: How it is resized.
        mean: Subtracted from red, green and blue, 0..255.
        std: Divides them.
    """
    return ImageInput(
        size=(size, size),
        resize="crop",
        interpolation=interpolation,
        resize_to=resize_to,
        crop_rounding="even",
        mean=mean,
        std=std,
    )


def yolo(height: int, width: int) -> ImageInput:
    """A photo fitted into a gray canvas, divided by 255."""
    return ImageInput(
        size=(height, width),
        resize="letterbox",
        interpolation="opencv_linear",
        std=(255.0, 255.0, 255.0),
    )
