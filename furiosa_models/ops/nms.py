"""Greedy non-maximum suppression (NMS), and the detections of decoders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.ops import native
from furiosa_models.ops.boxes import Boxes, iou_of
from furiosa_models.ops.checks import check_array, check_boxes, check_limit, check_unit

__all__ = ["DetectionArrays", "batched_nms", "nms"]

Indices: TypeAlias = npt.NDArray[np.int64]
Scores: TypeAlias = npt.NDArray[np.float32]

UNION_EPSILON = 1e-5
"""Added by decoders to the union of two boxes, as in 0.10 and MLPerf's references."""

_PAIRS_AT_ONCE = 1 << 16  # limits the memory of the numpy implementation
_BEST_AT_ONCE = 12  # boxes of a class that are compared with all others in one step


def nms(
    boxes: Boxes, scores: Scores, iou_threshold: float, *, platform: Platform = Platform.RUST
) -> Indices:
    """Return the indices of the boxes to keep, best first: `batched_nms` with one class."""
    check_boxes(boxes)
    classes = np.zeros(len(boxes), np.int64)
    return batched_nms(boxes, scores, classes, iou_threshold, platform=platform)


def batched_nms(
    boxes: Boxes,
    scores: Scores,
    class_ids: Indices,
    iou_threshold: float,
    *,
    epsilon: float = 0.0,
    max_candidates: int | None = None,
    max_per_class: int | None = None,
    max_detections: int | None = None,
    platform: Platform = Platform.RUST,
) -> Indices:
    """Return the indices of the boxes to keep, best first. Classes are suppressed independently.

    A box is dropped if its IoU with a better kept box exceeds the threshold. Equal scores rank by
    index. Boxes with a non-finite coordinate or a NaN score are dropped.

    Args:
        boxes: `(n, 4)` float32, xyxy.
        scores: `(n,)` float32.
        class_ids: `(n,)` int64.
        iou_threshold: In 0..1.
        epsilon: Added to the union (see `boxes.iou_of`).
        max_candidates: Maximum number of boxes before suppression (`max_nms` of YOLO).
        max_per_class: Maximum number of boxes per class before suppression (MLPerf's SSD).
        max_detections: Maximum number of boxes to keep.
        platform: RUST or PYTHON (numpy); both give the same indices.

    Returns:
        `(k,)` int64.

    Raises:
        ShapeError: An array has the wrong shape or dtype.
        ValueError: The threshold is outside 0..1, or a limit is negative.
    """
    check_boxes(boxes)
    check_array("scores", scores, np.float32, (len(boxes),))
    check_array("class_ids", class_ids, np.int64, (len(boxes),))
    check_unit("iou_threshold", iou_threshold)
    check_limit("max_candidates", max_candidates)
    check_limit("max_per_class", max_per_class)
    check_limit("max_detections", max_detections)
    if not native.is_selected(platform):
        limits = max_candidates, max_per_class
        kept = _suppress(boxes, scores, class_ids, iou_threshold, epsilon, *limits)
        return kept[:max_detections]
    found: Indices = native.load().batched_nms(
        boxes,
        scores,
        class_ids,
        iou_threshold=iou_threshold,
        epsilon=epsilon,
        limits=(max_candidates, max_per_class, max_detections),
    )
    return found


def _suppress(
    boxes: Boxes,
    scores: Scores,
    class_ids: Indices,
    iou_threshold: float,
    epsilon: float,
    max_candidates: int | None,
    max_per_class: int | None,
) -> Indices:
    finite = np.flatnonzero(np.isfinite(boxes).all(axis=1) & ~np.isnan(scores))
    ranked = finite[np.argsort(-scores[finite], kind="stable")][:max_candidates]
    rank = np.argsort(class_ids[ranked], kind="stable")  # ranks, grouped by class
    if max_per_class is not None:
        grouped = class_ids[ranked[rank]]
        first = np.searchsorted(grouped, grouped, side="left")
        rank = rank[np.arange(len(rank)) - first < max_per_class]
    order = ranked[rank]
    classes = class_ids[order]
    left = np.arange(len(order))
    kept = [left[:0]]
    corners = boxes[order].T.copy()
    while len(left):  # each step keeps the best few boxes of each class and drops what they overlap
        best, pairs = _clashes(corners, classes, np.float32(iou_threshold), epsilon)
        alive = bytearray(b"\1") * len(left)
        for i, j in pairs:
            if alive[i]:
                alive[j] = 0
        stays = np.frombuffer(alive, bool)
        kept.append(left[best[stays[best]]])
        stays[best] = False
        left, classes, corners = left[stays], classes[stays], corners[:, stays]
    return ranked[np.sort(rank[np.concatenate(kept)])]


def _clashes(
    corners: Boxes, classes: Indices, iou_threshold: np.float32, epsilon: float
) -> tuple[Indices, Iterable[tuple[int, int]]]:
    """Return the best few boxes of each class, and the overlapping pairs i < j with i among them.

    Corners `(4, n)` are grouped by class, best first. The IoU of each pair exceeds the threshold.
    Pairs are ordered by i.
    """
    count = len(classes)
    few = min(max(_PAIRS_AT_ONCE // count, 1), _BEST_AT_ONCE)
    edges = np.concatenate(([0], np.flatnonzero(classes[1:] != classes[:-1]) + 1, [count]))
    sizes = edges[1:] - edges[:-1]
    first, end = np.repeat(edges[:-1], sizes), np.repeat(edges[1:], sizes)
    best = np.flatnonzero(np.arange(count) - first < few)
    following = end[best] - best - 1
    i = np.repeat(best, following)
    j = np.arange(len(i)) - np.repeat(np.cumsum(following) - following, following) + i + 1
    i, j = _neighbors(corners, i, j)
    hit = iou_of(corners.take(i, axis=1), corners.take(j, axis=1), epsilon) > iou_threshold
    return best, zip(i[hit].tolist(), j[hit].tolist(), strict=True)


def _neighbors(corners: Boxes, i: Indices, j: Indices) -> tuple[Indices, Indices]:
    """Return the pairs with a common area: a filter that is faster than computing the IoU."""
    for low, high in ((corners[0], corners[2]), (corners[1], corners[3])):
        near = (low.take(i) < high.take(j)) & (low.take(j) < high.take(i))
        i, j = i[near], j[near]
    return i, j


class DetectionArrays(NamedTuple):
    """Detections of one image, best first.

    Attributes:
        boxes: `(n, 4)` float32, xyxy; they may extend beyond the image. SSD gives fractions of the
            image, YOLO pixels of the network's input.
        scores: `(n,)` float32.
        class_ids: `(n,)` int64.
    """

    boxes: Boxes
    scores: Scores
    class_ids: Indices

    def suppress(self, iou_threshold: float, **limits: int | None) -> Indices:
        """Return the indices that NMS in numpy keeps; see `batched_nms`."""
        boxes, scores, class_ids = self
        rules: dict[str, Any] = {"epsilon": UNION_EPSILON, "platform": Platform.PYTHON, **limits}
        return batched_nms(boxes, scores, class_ids, iou_threshold, **rules)

    def take(self, places: Indices) -> DetectionArrays:
        """Return the detections at these indices, in that order."""
        return DetectionArrays(self.boxes[places], self.scores[places], self.class_ids[places])
