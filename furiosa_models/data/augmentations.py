"""Settings of augmentations, with the names and defaults of Focoos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TypeAlias

from ..enums import Task
from ..errors import ConfigurationError
from ..ops.checks import check_at_least, check_unit

__all__ = ["HUES", "DatasetAugmentations", "Size", "get_default_by_task"]

Size: TypeAlias = tuple[int, int]
"""Height and width."""

HUES = 180
"""Number of hues of `color_base_hue`: those of OpenCV, two degrees each."""

_LONGEST_SIDE = 1.25  # of a detector's photos, in lengths of the resolution


@dataclass
class DatasetAugmentations:
    """Strengths and probabilities of augmentations. By default, only the resolution changes.

    Attributes:
        resolution: Length of the shorter side, or height and width if they differ.
        color_augmentation: Strength of the changes of color, in 0..1; each of them is made half of
            the time.
        color_base_brightness: Maximum addition to all values, which go to 255.
        color_base_saturation: Maximum change of the factor of the saturation.
        color_base_contrast: Maximum change of a factor of all values.
        color_base_hue: Maximum shift of the hue, in steps of two degrees.
        horizontal_flip: Probability of exchanging left and right.
        vertical_flip: Probability of exchanging top and bottom.
        zoom_out: Probability of placing the photo on a larger black canvas.
        zoom_out_side: Maximum length of the canvas, in lengths of the photo.
        rotation: Maximum angle, in half turns.
        aspect_ratio: Binary logarithm of the maximum change of the ratio of width and height; not
            used with `square`.
        square: Probability of stretching the photo to the resolution.
        scale_ratio: Binary logarithm of the maximum change of the resolution; not used if height
            and width of the resolution differ.
        max_size: Maximum length of the longer side; 0 for no limit.
        crop: Whether to cut out a part of `crop_size`.
        crop_size: Height and width of the part; None for the resolution.

    Raises:
        ConfigurationError: A value is out of range.
        ValueError: A probability or strength is not between 0 and 1.
    """

    resolution: int | Size = 640
    color_augmentation: float = 0.0
    color_base_brightness: int = 32
    color_base_saturation: float = 0.5
    color_base_contrast: float = 0.5
    color_base_hue: float = 18
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    zoom_out: float = 0.0
    zoom_out_side: float = 4.0
    rotation: float = 0.0
    aspect_ratio: float = 0.0
    square: float = 0.0
    scale_ratio: float = 0.0
    max_size: int = 4096
    crop: bool = False
    crop_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("horizontal_flip", "vertical_flip", "zoom_out", "square", "rotation"):
            check_unit(name, getattr(self, name))
        for name in ("color_augmentation", "color_base_saturation", "color_base_contrast"):
            check_unit(name, getattr(self, name))
        limits = {
            "color_base_brightness": (0, 255),
            "color_base_hue": (0, HUES // 2),
            "zoom_out_side": (1, inf),
            "aspect_ratio": (0, inf),
            "scale_ratio": (0, inf),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not (low <= value <= high and value < inf):
                upper = f" and {high}" if high < inf else " and finite"
                msg = f"{name} must be at least {low}{upper}, got {value!r}"
                raise ConfigurationError(msg)
        for length in (*self.height_and_width, 1 if self.crop_size is None else self.crop_size):
            check_at_least("resolution and crop_size", length, 1)
        check_at_least("max_size", self.max_size, 0)

    @property
    def height_and_width(self) -> Size:
        """The resolution as height and width."""
        resolution = self.resolution
        if isinstance(resolution, int):
            return resolution, resolution
        height, width = resolution
        return height, width


_COMMON = DatasetAugmentations(
    crop=True, scale_ratio=0.5, color_augmentation=1.0, horizontal_flip=0.5
)
_TRAIN = {
    Task.DETECTION: replace(_COMMON, square=1.0),
    Task.SEMSEG: _COMMON,
    Task.INSTANCE_SEGMENTATION: _COMMON,
    Task.MATTE: _COMMON,
    Task.CLASSIFICATION: _COMMON,
    Task.KEYPOINT: replace(_COMMON, horizontal_flip=0.0),
}
_ADVANCED = {
    Task.DETECTION: DatasetAugmentations(
        color_augmentation=1.0,
        horizontal_flip=0.5,
        aspect_ratio=0.5,
        zoom_out=0.5,
        square=1.0,
        scale_ratio=0.5,
    ),
    Task.SEMSEG: replace(_COMMON, scale_ratio=1.0, max_size=2048),
    Task.INSTANCE_SEGMENTATION: replace(_COMMON, scale_ratio=1.0, max_size=2048),
}


def get_default_by_task(
    task: Task, resolution: int | Size = 640, advanced: bool = False
) -> tuple[DatasetAugmentations, DatasetAugmentations]:
    """Return the augmentations for training and for validation.

    Args:
        task: The task.
        resolution: Length of the shorter side, or height and width.
        advanced: Whether to change photos more, for long training; classification and keypoints
            have one set.
    """
    train = _ADVANCED.get(task, _TRAIN[task]) if advanced else _TRAIN[task]
    train = replace(train, resolution=resolution)
    if task is Task.DETECTION and not advanced:
        train.max_size = int(max(train.height_and_width) * _LONGEST_SIDE)
    square = 1.0 if task is Task.DETECTION else 0.0
    return train, DatasetAugmentations(resolution=resolution, square=square)
