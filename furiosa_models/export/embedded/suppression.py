"""Greedy non-maximum suppression in a graph, with the results of `ops.nms.batched_nms`.

ONNX's own NonMaxSuppression has no term that is added to the union, which decides for small boxes.

Boxes are grouped by class. A round compares the first remaining boxes with all that remain of their
classes. A box is kept if no better one among those overlaps it, and what the kept ones overlap is
dropped. Boxes that only a dropped box overlaps are kept in a later round. So the rounds are few,
and their arithmetic is on whole tensors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .builder import Builder
from .values import LIMITLESS, Value

__all__ = ["Candidates", "Limits", "suppress"]

_AT_ONCE = 128  # boxes that are compared with all others of their classes in one round


class Candidates(NamedTuple):
    """Detections of one photo, in memory order of the outputs.

    Attributes:
        boxes: `(n, 4)` float32, xyxy.
        scores: `(n,)` float32.
        classes: `(n,)` int64.
    """

    boxes: Value
    scores: Value
    classes: Value

    def take(self, places: Value) -> Candidates:
        """Return the detections at these places, in that order."""
        return Candidates(*(column.take(places) for column in self))

    def usable(self) -> Value:
        """Return the places of finite boxes whose score is not NaN."""
        return (self.boxes.is_finite().every(1) & (self.scores == self.scores)).found()


class Limits(NamedTuple):
    """Rules of suppression.

    Attributes:
        iou_threshold: float32 scalar.
        max_detections: int64 scalar.
        epsilon: Added to the union of two boxes.
        max_candidates: Maximum number of boxes before suppression.
        max_per_class: Maximum number of boxes per class before suppression.
    """

    iou_threshold: Value
    max_detections: Value
    epsilon: float
    max_candidates: int | None = None
    max_per_class: int | None = None


def suppress(g: Builder, found: Candidates, limits: Limits) -> Value:
    """Return the places of the boxes to keep, best first, `(k,)` int64.

    See `ops.nms.batched_nms` for the rules.
    """
    usable = found.usable()
    limit = LIMITLESS if limits.max_candidates is None else limits.max_candidates
    most = g.constant(limit, np.int64)
    ranked = usable.take(found.scores.take(usable).order(most))
    ranks = g.grouped(found.classes.take(ranked))
    if limits.max_per_class is not None:
        grouped = found.classes.take(ranked).take(ranks)
        ranks = ranks.take((_places_in_class(g, grouped) < limits.max_per_class).found())
    kept = ranks.take(_kept(g, found.take(ranked.take(ranks)), limits))
    best_first = kept.take(kept.order(descending=False))
    return ranked.take(best_first).part(0, limits.max_detections)


def _places_in_class(g: Builder, classes: Value) -> Value:
    """Return how many elements of the same class precede each one; classes are ascending."""
    dtypes = (np.int64,) * 4
    _, _, numbers, sizes = g.ops("Unique", classes, dtypes=dtypes, sorted=1)
    return g.range(classes.size(0)) - sizes.cumsum(0, exclusive=True).take(numbers)


def _kept(g: Builder, boxes: Candidates, limits: Limits) -> Value:
    """Return the places of the boxes to keep; the boxes are grouped by class, best first."""
    classes = boxes.classes
    count = classes.size(0)

    def compare(_: Value, __: Value, kept: Value, left: Value) -> tuple[Value, Value, Value]:
        some = left.part(0, _AT_ONCE)
        reach = (classes.take(left) <= classes.take(some.part(-1, LIMITLESS))).count()
        near, far = left.part(0, reach), left.part(reach, LIMITLESS)
        clashes = _clashes(boxes, some, near, limits)
        is_kept = clashes.part(0, some.size(0), 1).sum(0).reshape(-1) == 0.0
        weights = is_kept.cast(np.float32)
        dropped = g.op("MatMul", weights.reshape(1, -1), clashes, dtype=np.float32).reshape(-1)
        zeros = g.constant([0.0], np.float32).expand(reach - some.size(0))
        stays = (dropped + g.concat([weights, zeros])) == 0.0
        kept = kept.put(some, is_kept)
        left = g.concat([near.take(stays.found()), far])
        left = _without_full_class(g, kept, left, classes, limits)
        return left.size(0) > 0, kept, left

    none, all_places = g.constant([False]).expand(count), g.range(count)
    kept, _ = g.loop(compare, none, all_places, count=count, going=count > 0)
    return kept.found()


def _clashes(boxes: Candidates, some: Value, near: Value, limits: Limits) -> Value:
    """Return 1 where a box at `some` places (rows) drops one at `near` places if it is kept."""
    corners, classes = boxes.boxes.transpose(1, 0), boxes.classes
    is_better = some.reshape(-1, 1) < near.reshape(1, -1)
    is_same = classes.take(some).reshape(-1, 1) == classes.take(near).reshape(1, -1)
    overlap = _iou(corners.take(some, 1), corners.take(near, 1), limits.epsilon)
    return (is_better & is_same & (overlap > limits.iou_threshold)).cast(np.float32)


def _without_full_class(
    g: Builder, kept: Value, left: Value, classes: Value, limits: Limits
) -> Value:
    """Return the remaining places without the class of the first, if its results are complete."""
    count = classes.size(0)
    first = g.concat([left, (count - 1).reshape(1)]).part(0, 1)  # any, if none remain
    own = classes.take(first)
    settled = kept & (classes == own) & (g.range(count) < first)
    is_open = settled.count() < limits.max_detections
    return left.take((is_open | ~(classes.take(left) == own)).found())


def _iou(first: Value, second: Value, epsilon: float) -> Value:
    """Return the intersection over union of all pairs of corners `(4, n)` and `(4, m)`."""
    one, other = first.reshape(4, -1, 1), second.reshape(4, 1, -1)
    low = one.part(0, 2).at_least(other.part(0, 2))
    high = one.part(2, 4).at_most(other.part(2, 4))
    shared = _area(high - low)
    union = _area(one.part(2, 4) - one.part(0, 2)) + _area(other.part(2, 4) - other.part(0, 2))
    return shared / (union - shared + epsilon)


def _area(sides: Value) -> Value:
    """Return the areas of sides `(2, ...)`; 0 if one is negative."""
    positive = sides.at_least(0.0)
    return positive.at(0) * positive.at(1)
