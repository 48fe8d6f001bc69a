"""Merge the boxes of tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..ops.nms import batched_nms
from ..tasks.base import ArrayResult
from .tiling import Tile

__all__ = ["best_of", "uncut"]

_EDGE = 2.0  # pixels from the edge of a tile where a box is cut off


def uncut(part: Any, tile: Tile, width: int, height: int) -> Any:
    """Return the objects of a tile without those that end at an edge inside the photo.

    Such a box shows a part of an object, which is whole in the next tile or in the photo.
    """
    left, top, right, bottom = part.boxes.T
    cut = np.zeros(len(part), bool)
    if tile.left > 0:
        cut |= left < _EDGE
    if tile.top > 0:
        cut |= top < _EDGE
    if tile.right < width:
        cut |= right > tile.right - tile.left - _EDGE
    if tile.bottom < height:
        cut |= bottom > tile.bottom - tile.top - _EDGE
    return part[~cut]


def best_of(found: ArrayResult[Any], iou_threshold: float) -> npt.NDArray[np.int64]:
    """Return the indices of the objects that suppression within classes keeps, best first."""
    class_ids = getattr(found, "class_ids", None)
    if class_ids is None:
        class_ids = np.zeros(len(found), np.int64)
    boxes = np.ascontiguousarray(found.boxes, np.float32)
    scores = np.ascontiguousarray(found.scores, np.float32)
    return batched_nms(boxes, scores, np.ascontiguousarray(class_ids), iou_threshold)
