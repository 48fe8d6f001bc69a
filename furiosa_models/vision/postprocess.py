"""Boxes in other formats, and batches: what furiosa-models 0.10 has in this place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ops.scores import sigmoid
from ..tasks import LtrbBoundingBox, ObjectDetectionResult

__all__ = [
    "CXcywhBoundingBox",
    "LtrbBoundingBox",
    "ObjectDetectionResult",
    "XywhBoundingBox",
    "calibration_ltrbbox",
    "collate",
    "sigmoid",
    "xyxytocxcywh",
    "xyxytoxywh",
]


@dataclass(slots=True)
class XywhBoundingBox:
    """A box by its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.x, self.y, self.width, self.height))


@dataclass(slots=True)
class CXcywhBoundingBox:
    """A box by its center and its size."""

    center_x: float
    center_y: float
    width: float
    height: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.center_x, self.center_y, self.width, self.height))


def xyxytoxywh(xyxy: LtrbBoundingBox) -> XywhBoundingBox:
    """The same box by its upper left corner and its size."""
    left, top, right, bottom = xyxy
    return XywhBoundingBox(left, top, right - left, bottom - top)


def xyxytocxcywh(xyxy: LtrbBoundingBox) -> CXcywhBoundingBox:
    """The same box by its center and its size."""
    left, top, right, bottom = xyxy
    return CXcywhBoundingBox((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def calibration_ltrbbox(
    bbox: npt.NDArray[Any], width: float, height: float
) -> npt.NDArray[np.floating[Any]]:
    """Return boxes whose coordinates are shares of a photo's size in pixels.

    Args:
        bbox: (n, 4): left, top, right and bottom, 0 to 1; it stays as it is.
        width: Width of the photo.
        height: Height of the photo.
    """
    boxes = np.asarray(bbox)
    scale = np.array([width, height, width, height], np.result_type(boxes.dtype, np.float32))
    pixels: npt.NDArray[np.floating[Any]] = boxes * scale
    return pixels


def collate(
    data: Sequence[Sequence[npt.NDArray[Any]]], batch_axis: int = 0
) -> list[npt.NDArray[Any]]:
    """One batch of the outputs of many runs.

    Args:
        data: The outputs of each run, arrays of length 1 along `batch_axis`.
        batch_axis: Where the runs go.

    Raises:
        ValueError: The runs have different numbers of outputs, or outputs that do not fit.
    """
    return [np.concatenate(outputs, axis=batch_axis) for outputs in zip(*data, strict=True)]
