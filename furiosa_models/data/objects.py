"""Objects of a photo, one by one as readers find them, and as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..ops.rle import decode_rle
from .records import Mask, Objects

__all__ = ["LabeledObject", "as_columns", "as_polygon", "box_around", "finite_numbers"]

_LARGEST = 1e14
"""Largest number that labels may contain; larger ones overflow in float32."""


class LabeledObject(NamedTuple):
    """One labeled object.

    Attributes:
        box: Left, top, right and bottom in pixels.
        class_id: Index into the classes.
        is_crowd: Whether it is a group of objects, or does not count.
        area: Its area in pixels, if known.
        keypoints: x, y and visibility of each keypoint, in one list; or None.
        mask: Its outline, or None.
    """

    box: tuple[float, float, float, float]
    class_id: int
    is_crowd: bool = False
    area: float | None = None
    keypoints: Sequence[float] | None = None
    mask: Mask | None = None

    @property
    def box_area(self) -> float:
        """Area of the box in pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def as_columns(
    rows: Sequence[LabeledObject], *, joints: int = 0, outlined: bool = False
) -> Objects:
    """Return objects as columns.

    Args:
        rows: The objects of a photo.
        joints: Number of keypoints; an object without keypoints has unlabeled ones.
        outlined: Whether to return masks; an object without a mask gets its box.

    Raises:
        ValueError: An object has another number of keypoints.
    """
    return Objects(
        boxes=np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        class_ids=np.array([row.class_id for row in rows], np.int64),
        keypoints=_keypoints(rows, joints) if joints else None,
        masks=tuple(row.mask or [_corners(row.box)] for row in rows) if outlined else None,
        is_crowd=np.array([row.is_crowd for row in rows], np.bool_),
        areas=_areas(rows) if any(row.area is not None for row in rows) else None,
    )


def finite_numbers(values: Any) -> list[float]:
    """Return numbers from untrusted labels.

    Raises:
        ValueError: A value is not a finite number, or too large for any photo.
        TypeError: These are no numbers.
    """
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if len(numbers) != len(values) or not all(abs(number) < _LARGEST for number in numbers):
        msg = f"expected finite numbers, got {str(values)[:60]}"
        raise ValueError(msg)
    return numbers


def as_polygon(numbers: Sequence[float]) -> npt.NDArray[np.float32]:
    """Return x and y of each point in turn as a polygon, (m, 2) float32.

    Raises:
        ValueError: There are fewer than three points, or half a point.
    """
    if len(numbers) < 6 or len(numbers) % 2:
        msg = f"expected x and y of at least three points, got {len(numbers)} numbers"
        raise ValueError(msg)
    return np.array(numbers, np.float32).reshape(-1, 2)


def box_around(mask: Mask) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of an outline."""
    if not isinstance(mask, dict):
        points = np.concatenate(mask)
    else:  # both corners of each pixel
        pixels = np.argwhere(decode_rle(mask))[:, ::-1]
        points = np.concatenate([pixels, pixels + 1]) if len(pixels) else np.zeros((1, 2))
    left, top = points.min(axis=0).tolist()
    right, bottom = points.max(axis=0).tolist()
    return (float(left), float(top), float(right), float(bottom))


def _areas(rows: Sequence[LabeledObject]) -> npt.NDArray[np.float32]:
    areas = [row.box_area if row.area is None else row.area for row in rows]
    return np.array(areas, np.float32)


def _keypoints(rows: Sequence[LabeledObject], joints: int) -> npt.NDArray[np.float32]:
    unlabeled = [0.0] * (3 * joints)
    points = [row.keypoints or unlabeled for row in rows]
    if any(len(each) != 3 * joints for each in points):
        msg = f"expected x, y and visibility of {joints} keypoints for each object"
        raise ValueError(msg)
    return np.array(points, np.float32).reshape(len(rows), joints, 3)


def _corners(box: tuple[float, float, float, float]) -> npt.NDArray[np.float32]:
    """Return a box as a polygon."""
    left, top, right, bottom = box
    return as_polygon([left, top, right, top, right, bottom, left, bottom])
