"""Box formats and batches, under the import path of furiosa-models 0.10."""

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
    """A box, represented by its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.x, self.y, self.width, self.height))


@dataclass(slots=True)
class CXcywhBoundingBox:
    """A box, represented by its center and its size."""

    center_x: float
    center_y: float
    width: float
    height: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.center_x, self.center_y, self.width, self.height))


def xyxytoxywh(xyxy: LtrbBoundingBox) -> XywhBoundingBox:
    """Convert a box to its upper left corner and its size, in the same unit."""
    left, top, right, bottom = xyxy
    return XywhBoundingBox(left, top, right - left, bottom - top)


def xyxytocxcywh(xyxy: LtrbBoundingBox) -> CXcywhBoundingBox:
    """Convert a box to its center and its size, in the same unit."""
    left, top, right, bottom = xyxy
    return CXcywhBoundingBox((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def calibration_ltrbbox(
    bbox: npt.NDArray[Any], width: float, height: float
) -> npt.NDArray[np.floating[Any]]:
    """Convert relative boxes to pixels of a photo.

    Args:
        bbox: (n, 4) left, top, right and bottom in [0, 1]; it is not modified.
        width: Width of the photo in pixels.
        height: Height of the photo in pixels.

    Returns:
        (n, 4) left, top, right and bottom in pixels.
    """
    boxes = np.asarray(bbox)
    scale = np.array([width, height, width, height], np.result_type(boxes.dtype, np.float32))
    pixels: npt.NDArray[np.floating[Any]] = boxes * scale
    return pixels


def collate(
    data: Sequence[Sequence[npt.NDArray[Any]]], batch_axis: int = 0
) -> list[npt.NDArray[Any]]:
    """Concatenate the outputs of several runs into one batch.

    Args:
        data: Outputs of each run.
        batch_axis: Axis of the batch.

    Returns:
        One array per output of the network.

    Raises:
        ValueError: The runs have different numbers of outputs, or outputs of different shapes.
    """
    return [np.concatenate(outputs, axis=batch_axis) for outputs in zip(*data, strict=True)]
