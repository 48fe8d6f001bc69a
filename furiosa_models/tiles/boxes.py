"""Merge the boxes of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..ops.nms import batched_nms
from ..tasks.base import ArrayResult
from .tiling import Part

__all__ = ["EDGE", "cut_edges", "merge_boxes"]

EDGE = 2.0
"""Pixels from the edge of a tile where an object is cut off."""

R = TypeVar("R", bound=ArrayResult[Any])


def merge_boxes(whole: R, parts: Sequence[Part], iou_threshold: float) -> R:
    """Return the objects of a photo and of its tiles, best first.

    A box that ends at an edge of its tile shows a part of an object, which is whole in the next
    tile or in the photo: it is left out. The others are suppressed within classes.
    """
    moved = []
    for part in parts:
        uncut = part.result[~cut_edges(part).any(1)]
        moved.append(uncut.moved(part.tile.left, part.tile.top))
    every: Any = whole.joined(moved)
    kept: R = every[_best(every, iou_threshold)]
    return kept


def cut_edges(part: Part) -> npt.NDArray[np.bool_]:
    """Return at which edges inside the photo a tile cuts its objects off, (n, 4)."""
    left, top, right, bottom = part.result.boxes.T
    tile = part.tile
    beside = (
        left < EDGE,
        top < EDGE,
        right > tile.right - tile.left - EDGE,
        bottom > tile.bottom - tile.top - EDGE,
    )
    cut: npt.NDArray[np.bool_] = np.stack(beside, axis=1) & part.inner
    return cut


def _best(found: ArrayResult[Any], iou_threshold: float) -> npt.NDArray[np.int64]:
    """Return the indices of the objects that suppression within classes keeps, best first."""
    class_ids = getattr(found, "class_ids", None)
    if class_ids is None:
        class_ids = np.zeros(len(found), np.int64)
    boxes = np.ascontiguousarray(found.boxes, np.float32)
    scores = np.ascontiguousarray(found.scores, np.float32)
    return batched_nms(boxes, scores, np.ascontiguousarray(class_ids), iou_threshold)
