"""Greedy non-maximum suppression in a graph, with the results of `ops.nms.batched_nms`.

ONNX's own NonMaxSuppression has no term that is added to the union, which decides for small boxes.

A round compares the best remaining boxes with all that remain. A box is kept if no better one among
those overlaps it, and what the kept ones overlap is dropped. Boxes that only a dropped box overlaps
are kept in a later round. So the rounds are few and their arithmetic is on whole tensors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .builder import Builder
from .values import LIMITLESS, Value

__all__ = ["Candidates", "Limits", "suppress"]

_AT_ONCE = 256  # boxes that are compared with all others in one round


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
    most = g.constant(limits.max_candidates or LIMITLESS, np.int64)
    ranked = usable.take(found.scores.take(usable).order(most))
    if limits.max_per_class is not None:
        ranked = ranked.take(_best_of_classes(g, found.classes.take(ranked), limits.max_per_class))
    best = found.take(ranked)
    return ranked.take(_kept(g, best, limits)).part(0, limits.max_detections)


def _best_of_classes(g: Builder, classes: Value, count: int) -> Value:
    """Return the places of the first `count` elements of each class, ascending."""
    by_class = classes.order(descending=False)
    dtypes = (np.int64,) * 4
    _, _, numbers, sizes = g.ops("Unique", classes.take(by_class), dtypes=dtypes, sorted=1)
    first = sizes.cumsum(0, exclusive=True).take(numbers)
    places = by_class.take((g.range(classes.size(0)) - first < count).found())
    return places.take(places.order(descending=False))


def _kept(g: Builder, best: Candidates, limits: Limits) -> Value:
    """Return the places of the boxes to keep, ascending; the boxes are ordered, best first."""
    corners = best.boxes.transpose(1, 0)
    count = best.scores.size(0)

    def compare(_: Value, __: Value, kept: Value, left: Value) -> tuple[Value, Value, Value]:
        some = left.part(0, _AT_ONCE)
        remain = left.size(0)
        number = some.size(0)
        is_better = some.reshape(-1, 1) < left.reshape(1, -1)
        is_same = best.classes.take(some).reshape(-1, 1) == best.classes.take(left).reshape(1, -1)
        overlap = _iou(corners.take(some, 1), corners.take(left, 1), limits.epsilon)
        clash = (is_better & is_same & (overlap > limits.iou_threshold)).cast(np.float32)
        is_kept = _total(clash.part(0, number, 1), number) == 0.0
        weight = is_kept.cast(np.float32)
        rest = g.constant([0.0], np.float32).expand(remain - number)
        dropped = g.op("MatMul", weight.reshape(1, -1), clash, dtype=np.float32).reshape(-1)
        stays = (dropped + g.concat([weight, rest])) == 0.0
        kept, left = kept.put(some, is_kept), left.take(stays.found())
        return _goes_on(g, kept, left, count, limits), kept, left

    kept, _ = g.loop(
        compare,
        g.constant([False]).expand(count),
        g.range(count),
        count=count,
        going=count > 0,
    )
    return kept.found()


def _total(clash: Value, rows: Value) -> Value:
    """Return the sums of the columns of a square table."""
    return clash.sum(0).reshape(rows)


def _goes_on(g: Builder, kept: Value, left: Value, count: Value, limits: Limits) -> Value:
    """Return whether boxes are left of which one may be among the results."""
    next_place = g.concat([left, count.reshape(1)]).part(0, 1)
    settled = g.op("Slice", kept.cast(np.int64), g.shape(0), next_place, g.shape(0), dtype=np.int64)
    return (left.size(0) > 0) & (settled.sum(0).reshape() < limits.max_detections)


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
