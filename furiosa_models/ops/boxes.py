"""Boxes as `(n, 4)` float32 arrays, in xyxy format (left, top, right, bottom) by default."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.ops import native
from furiosa_models.ops.checks import check_boxes, check_choice
from furiosa_models.spec import ImageContext

__all__ = [
    "BoxFormat",
    "Boxes",
    "area_of",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "iou_of",
    "to_input",
    "to_photo",
]

Boxes: TypeAlias = npt.NDArray[np.float32]
BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh"]


def area_of(corners: Boxes) -> Boxes:
    """Return the areas `(...,)` of corners `(4, ...)`; 0 for inverted boxes."""
    left, top, right, bottom = corners
    zero = np.float32(0)
    area: Boxes = np.maximum(right - left, zero) * np.maximum(bottom - top, zero)
    return area


def iou_of(first: Boxes, second: Boxes, epsilon: float = 0.0) -> Boxes:
    """Return the intersection over union of boxes that broadcast against each other, in float32.

    Args:
        first: Corners `(4, ...)`: left, top, right, bottom. Coordinates come first because numpy is
            several times faster on rows than on columns.
        second: Corners `(4, ...)`.
        epsilon: Added to the union, so that tiny boxes overlap less.

    Returns:
        `(...,)` float32; 0 if the union is empty or NaN.
    """
    with np.errstate(all="ignore"):  # huge boxes overflow
        low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
        shared = area_of(np.concatenate((low, high)))
        union = area_of(first) + area_of(second) - shared + np.float32(epsilon)
        iou: Boxes = np.where(union > 0, shared / union, np.float32(0))
    return iou


def box_iou(boxes1: Boxes, boxes2: Boxes, *, platform: Platform = Platform.RUST) -> Boxes:
    """Return the intersection over union of every pair of boxes.

    Args:
        boxes1: `(n, 4)` float32, xyxy.
        boxes2: `(m, 4)` float32, xyxy.
        platform: RUST or PYTHON (numpy).

    Returns:
        `(n, m)` float32; 0 for disjoint and degenerate boxes.

    Raises:
        ShapeError: The boxes have the wrong shape or dtype.
    """
    check_boxes(boxes1, "boxes1")
    check_boxes(boxes2, "boxes2")
    if not native.is_selected(platform):
        return iou_of(boxes1.T[:, :, None], boxes2.T[:, None, :])
    pairs: Boxes = native.load().box_iou(boxes1, boxes2)
    return pairs


def box_convert(boxes: Boxes, in_fmt: BoxFormat, out_fmt: BoxFormat) -> Boxes:
    """Convert boxes to another format.

    Args:
        boxes: `(n, 4)` float32.
        in_fmt: Format of `boxes`: xyxy (corners), xywh (left, top, width, height) or cxcywh (center
            and size).
        out_fmt: Format of the result.

    Raises:
        ShapeError: The boxes have the wrong shape or dtype.
        ValueError: A format is unknown.
    """
    check_boxes(boxes)
    for fmt in (in_fmt, out_fmt):
        check_choice("a box format", fmt, get_args(BoxFormat))
    if in_fmt == out_fmt:
        return np.array(boxes)
    first, second = boxes[:, :2], boxes[:, 2:]
    half = np.float32(0.5)
    if in_fmt == "xywh":
        first, second = first, first + second
    elif in_fmt == "cxcywh":
        first, second = first - second * half, first + second * half
    if out_fmt == "xywh":
        first, second = first, second - first
    elif out_fmt == "cxcywh":
        first, second = (first + second) * half, second - first
    converted: Boxes = np.concatenate((first, second), axis=1)
    return converted


def clip_boxes_to_image(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """Clip xyxy boxes `(n, 4)` to an image of `size` (height, width)."""
    check_boxes(boxes)
    height, width = size
    limits = np.array([width, height, width, height], np.float32)
    clipped: Boxes = np.clip(boxes, np.float32(0), limits)
    return clipped


def to_photo(points: Boxes, context: ImageContext) -> Boxes:
    """Convert points (..., 2k) from pixels of the network's input to pixels of the photo.

    The result may lie outside of the photo, as in 0.10; see `clip_boxes_to_image`.
    """
    if context.stretch is not None:
        factors = np.array(context.stretch * (points.shape[-1] // 2), np.float32)
        return points / factors
    pad = np.array(context.pad * (points.shape[-1] // 2), np.float32)
    in_photo: Boxes = (points - pad) / np.float32(context.scale)
    return in_photo


def to_input(points: Boxes, context: ImageContext) -> Boxes:
    """Convert points (..., 2k) from pixels of the photo to pixels of the network's input.

    This is the inverse of `to_photo`. The result may lie outside of the input, after a crop.
    """
    if context.stretch is not None:
        return points * np.array(context.stretch * (points.shape[-1] // 2), np.float32)
    pad = np.array(context.pad * (points.shape[-1] // 2), np.float32)
    in_input: Boxes = points * np.float32(context.scale) + pad
    return in_input
