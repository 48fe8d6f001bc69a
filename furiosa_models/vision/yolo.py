"""Boxes of YOLO heads (v5, and v7 with keypoints), read straight off their raw NCHW maps.

An anchor has the channels x, y, width, height, objectness, one per class, and x, y and confidence
of every keypoint. Objectness is compared before anything is computed, and only the cells that
pass are decoded (see `scores`). `native/src/yolo.rs` is the twin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.ops import native
from furiosa_models.ops.checks import check_limit, check_unit
from furiosa_models.ops.nms import UNION_EPSILON, DetectionArrays
from furiosa_models.ops.scores import least_score, loose, loose_logit, sigmoid

__all__ = ["BOX_CHANNELS", "YoloMaps", "YoloRules", "decode_yolo"]

Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]
Found: TypeAlias = tuple[DetectionArrays, Floats]

BOX_CHANNELS = 5
"""Channels of an anchor before its classes."""

_OBJECTNESS = 4


class YoloMaps(NamedTuple):
    """The maps of a batch, already checked.

    Attributes:
        first: one `(n, channels, h, w)` map per level.
        second: the channels that come after those, where a network gives them apart; else empty.
        anchors: `(levels, a, 2)`: width and height, in cells.
        strides: pixels from cell to cell, of each level.
    """

    first: Sequence[Floats]
    second: Sequence[Floats]
    anchors: Floats
    strides: Sequence[float]


class YoloRules(NamedTuple):
    """What to detect.

    Attributes:
        classes: how many.
        keypoints: how many an anchor has.
        with_sigmoid: whether the maps hold logits.
        score_threshold: 0..1; a score has to exceed it.
        iou_threshold: 0..1.
        max_candidates: how many boxes, the best ones, go through suppression.
        max_detections: the most detections in an image.
    """

    classes: int
    keypoints: int
    with_sigmoid: bool
    score_threshold: float
    iou_threshold: float
    max_candidates: int | None
    max_detections: int | None


def decode_yolo(maps: YoloMaps, rules: YoloRules, platform: Platform) -> list[Found]:
    """Return the detections of every image, and their keypoints `(n, keypoints, 3)`.

    Raises:
        ValueError: a threshold outside 0..1, or a negative limit.
    """
    check_unit("score_threshold", rules.score_threshold)
    check_unit("iou_threshold", rules.iou_threshold)
    check_limit("max_candidates", rules.max_candidates)
    check_limit("max_detections", rules.max_detections)
    least = least_score(rules.score_threshold, strict=True)
    if native.wanted(platform):
        batch = native.load().decode_yolo(
            *maps,
            keypoints=rules.keypoints,
            with_sigmoid=rules.with_sigmoid,
            least_score=least,
            iou_threshold=rules.iou_threshold,
            epsilon=UNION_EPSILON,
            limits=(rules.max_candidates, None, rules.max_detections),
        )
        return [(DetectionArrays(*arrays), points) for arrays, points in batch]
    with np.errstate(all="ignore"):  # hostile outputs overflow; the tests below drop them
        return [_decode(image, rules, least) for image in _images(maps)]


class _Planes(NamedTuple):
    """The channels of one image on one level.

    Attributes:
        first: `(channels, cells)`.
        second: the channels after those.
        width: of the map.
        stride: pixels from cell to cell.
        sizes: `(a, 2)`: width and height of the anchors, in pixels.
    """

    first: Floats
    second: Floats
    width: int
    stride: np.float32
    sizes: Floats

    def at(self, start: int, stop: int, cells: Indices | slice) -> Floats:
        """Return the channels from `start` to `stop` at some cells, `(channels, cells)`."""
        split = len(self.first)
        values: Floats = self.first[start:stop, cells]
        if stop <= split:
            return values
        more = self.second[max(start - split, 0) : stop - split, cells]
        return np.concatenate((values, more))


def _images(maps: YoloMaps) -> Iterator[list[_Planes]]:
    second = maps.second or [m[:, :0] for m in maps.first]
    levels = list(zip(maps.first, second, maps.strides, maps.anchors, strict=True))
    for image in range(len(maps.first[0])):
        yield [
            _Planes(
                one[image].reshape(one.shape[1], -1),
                two[image].reshape(two.shape[1], one.shape[2] * one.shape[3]),
                one.shape[3],
                np.float32(stride),
                anchors * np.float32(stride),
            )
            for one, two, stride, anchors in levels
        ]


class _Hits(NamedTuple):
    """Cells whose objectness may pass, in the order of the maps.

    Attributes:
        columns: `(channels, n)`: all of an anchor's numbers there.
        objects: `(n,)`: which level and anchor.
        cells: `(2, n)`: column and row.
        strides: `(n,)`.
        sizes: `(2, n)`: width and height of the anchor, in pixels.
    """

    columns: Floats
    objects: Indices
    cells: Floats
    strides: Floats
    sizes: Floats


def _hits(levels: Sequence[_Planes], channels: int, bound: Floats) -> _Hits:
    columns, cells = [np.zeros((channels, 0), np.float32)], [np.zeros((2, 0), np.intp)]
    owners = []
    for planes in levels:
        for anchor, size in enumerate(planes.sizes):
            start = anchor * channels
            (objectness,) = planes.at(start + _OBJECTNESS, start + _OBJECTNESS + 1, slice(None))
            hit = np.flatnonzero(objectness >= bound)
            columns.append(planes.at(start, start + channels, hit))
            cells.append(np.stack((hit % planes.width, hit // planes.width)))
            owners.append((planes.stride, *size))
    objects = np.repeat(np.arange(len(owners)), [part.shape[1] for part in columns[1:]])
    strides, *sizes = np.array(owners, np.float32).T[:, objects]
    grid = np.concatenate(cells, axis=1).astype(np.float32)
    return _Hits(np.concatenate(columns, axis=1), objects, grid, strides, np.stack(sizes))


def _decode(levels: Sequence[_Planes], rules: YoloRules, least: np.float32) -> Found:
    first_point = BOX_CHANNELS + rules.classes
    activate, bound = (sigmoid, loose_logit) if rules.with_sigmoid else (np.array, loose)
    hits = _hits(levels, first_point + 3 * rules.keypoints, bound(least).astype(np.float32))
    objectness = activate(hits.columns[_OBJECTNESS])
    logits = hits.columns[BOX_CHANNELS:first_point]
    class_ids, column = np.nonzero(logits >= bound(least / objectness.astype(np.float64)))
    scores = activate(logits[class_ids, column]) * objectness[column]
    boxes = _place(activate(hits.columns[:_OBJECTNESS]), hits)[column]
    passing = (scores >= least) & (objectness[column] >= least)
    sound = np.flatnonzero(passing & np.isfinite(scores) & np.isfinite(boxes).all(axis=1))
    order = sound[np.argsort(hits.objects[column[sound]], kind="stable")]
    found = DetectionArrays(boxes, scores, class_ids).take(order)
    limits = {"max_candidates": rules.max_candidates, "max_detections": rules.max_detections}
    kept = found.suppress(rules.iou_threshold, **limits)
    points = _points(hits, column[order[kept]], rules.keypoints)
    points[2] = activate(points[2])
    return found.take(kept), np.ascontiguousarray(points.T)


def _place(values: Floats, hits: _Hits) -> Floats:
    """Return the xyxy boxes `(n, 4)` of x, y, width and height `(4, n)`."""
    two, half = np.float32(2), np.float32(0.5)
    center = (values[:2] * two - half + hits.cells) * hits.strides
    side = values[2:] * two
    reach = side * side * hits.sizes * half
    boxes: Floats = np.concatenate((center - reach, center + reach)).T
    return boxes


def _points(hits: _Hits, column: Indices, count: int) -> Floats:
    """Return x, y and the raw confidence `(3, count, n)` of some columns' keypoints."""
    numbers = hits.columns[len(hits.columns) - 3 * count :, column]
    points = numbers.reshape(count, 3, len(column)).transpose(1, 0, 2)
    cells, strides = hits.cells[:, None, column], hits.strides[column]
    place = (points[:2] * np.float32(2) - np.float32(0.5) + cells) * strides
    return np.concatenate((place, points[2:]))
