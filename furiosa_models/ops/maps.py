"""Checks of a network's maps that decoders in both languages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.errors import ShapeError
from furiosa_models.ops.boxes import check_boxes
from furiosa_models.ops.checks import check_maps

__all__ = ["check_levels", "check_ssd_maps"]

Floats: TypeAlias = npt.NDArray[np.float32]


def check_ssd_maps(
    class_maps: Sequence[Floats], box_maps: Sequence[Floats], anchors: Floats
) -> int:
    """Return the number of classes of an SSD's maps, the background included.

    Raises:
        ShapeError: maps or anchors of the wrong count, shape or dtype.
    """
    if not class_maps or len(class_maps) != len(box_maps):
        msg = (
            "there must be as many class maps as box maps, and at least one, "
            f"got {len(class_maps)} and {len(box_maps)}"
        )
        raise ShapeError(msg)
    check_boxes(anchors, "anchors")
    check_maps("class_maps", class_maps)
    check_maps("box_maps", box_maps)
    classes: int = class_maps[0].shape[1] * 4 // max(box_maps[0].shape[1], 1)
    images = len(class_maps[0])
    total = 0
    for i, (of_classes, of_boxes) in enumerate(zip(class_maps, box_maps, strict=True)):
        height, width = of_classes.shape[2:]
        cell = of_boxes.shape[1] // 4
        wanted = (images, cell * classes, height, width), (images, cell * 4, height, width)
        if (of_classes.shape, of_boxes.shape) != wanted or not cell * height * width * classes:
            msg = (
                f"class_maps[{i}] and box_maps[{i}] must have shapes (n, a * c, h, w) and "
                f"(n, a * 4, h, w), with n = {images} and c = {classes} as in the first, "
                f"got {of_classes.shape} and {of_boxes.shape}"
            )
            raise ShapeError(msg)
        total += cell * height * width
    if total != len(anchors):
        msg = f"the maps have {total} anchors, got {len(anchors)} in `anchors`"
        raise ShapeError(msg)
    return classes


def check_levels(name: str, maps: Sequence[Floats], strides: Sequence[float]) -> tuple[int, int]:
    """Return the number of images and of channels that the maps of all levels share.

    Raises:
        ShapeError: not one float32 map `(n, channels, h, w)` for each stride, or maps that belong
            to inputs of different sizes.
    """
    if not strides or len(maps) != len(strides) or min(strides) <= 0:
        msg = f"{name} must be one map for each stride above 0, got {len(maps)} for {strides}"
        raise ShapeError(msg)
    check_maps(name, maps)
    images, channels, height, width = maps[0].shape
    size = height * strides[0], width * strides[0]
    for i, (value, stride) in enumerate(zip(maps, strides, strict=True)):
        wanted = images, channels, size[0] / stride, size[1] / stride
        if value.shape != wanted or 0 in value.shape[1:]:
            shape = ", ".join(f"{length:g}" for length in wanted)
            msg = f"{name}[{i}] must have shape ({shape}), to go with the first, got {value.shape}"
            raise ShapeError(msg)
    return images, channels
