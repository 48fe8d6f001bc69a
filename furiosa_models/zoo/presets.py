"""Input specifications that several networks use."""

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
"""Input of TensorFlow's SSD networks for 300 x 300 pixels."""

SSD_300_MAPS = (19, 10, 5, 3, 2, 1)
"""Side lengths of the feature maps of these networks, finest first."""


def imagenet(
    size: int,
    resize_to: int,
    interpolation: Interpolation,
    *,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> ImageInput:
    """Return the input specification of ImageNet classifiers: a center crop, as in evaluation.

    Args:
        size: Height and width of the input, in pixels.
        resize_to: Length of the shorter side before the crop, in pixels.
        interpolation: Interpolation of the resize.
        mean: Values to subtract from red, green and blue, in units of 0..255.
        std: Values to divide the differences by, in units of 0..255.
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
    """Return the input specification of YOLO: letterboxed on gray, divided by 255.

    Args:
        height: Height of the input in pixels.
        width: Width of the input in pixels.
    """
    return ImageInput(
        size=(height, width),
        resize="letterbox",
        interpolation="opencv_linear",
        std=(255.0, 255.0, 255.0),
    )
