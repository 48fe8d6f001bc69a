"""Decoder of YOLO maps in a graph, as `heads.yolo` and `heads.pose.PoseHead`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...heads.pose import KEYPOINTS, PoseHead
from ...heads.yolo import BOX_CHANNELS, YOLOv5Head
from ...ops.nms import UNION_EPSILON
from .activations import logit_below, sigmoid
from .outputs import Raw, Scene, best_detections
from .suppression import Candidates, Limits, suppress
from .values import LIMITLESS, Value

__all__ = ["decode_pose_maps", "decode_yolo"]

_OBJECTNESS = 4


def decode_yolo(scene: Scene, head: YOLOv5Head) -> dict[str, Value]:
    """Return `boxes`, `scores` and `classes`, best first."""
    per_cell = head.anchors.shape[1]
    levels = _levels(scene, scene.outputs, head)
    maps = [
        output.value.reshape(per_cell, level.cells, -1).transpose(0, 2, 1)
        if len(output.shape) == 5
        else output.value.reshape(per_cell, -1, level.cells)
        for output, level in zip(scene.outputs, levels, strict=True)
    ]
    objects = _objects(scene, maps, levels, are_logits=not head.sigmoid_inside)
    found, _ = _candidates(scene, objects, LIMITLESS)
    kept = suppress(scene.g, found, _limits(scene, head.max_candidates))
    return best_detections(scene, found, kept)


def decode_pose_maps(scene: Scene, head: PoseHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `keypoints`, best first."""
    g, per_cell = scene.g, head.anchors.shape[1]
    first, second = scene.outputs[0::2], scene.outputs[1::2]
    levels = _levels(scene, first, head)
    maps = [
        g.concat([one.value, other.value], axis=1).reshape(per_cell, -1, level.cells)
        for one, other, level in zip(first, second, levels, strict=True)
    ]
    objects = _objects(scene, maps, levels, are_logits=True)
    found, columns = _candidates(scene, objects, BOX_CHANNELS + 1)
    kept = suppress(g, found, _limits(scene, None))
    best = best_detections(scene, found, kept)
    return {
        "boxes": best["boxes"],
        "scores": best["scores"],
        "keypoints": _keypoints(scene, objects, columns.take(kept)),
    }


def _limits(scene: Scene, max_candidates: int | None) -> Limits:
    options = scene.options
    thresholds = options["iou_threshold"], options["max_detections"]
    return Limits(*thresholds, UNION_EPSILON, max_candidates=max_candidates)


class _Level(NamedTuple):
    """The grid of a level.

    Attributes:
        height: Number of rows.
        width: Number of columns.
        stride: In pixels.
        sizes: `(a, 2)`: width and height of the anchors, in pixels.
    """

    height: int
    width: int
    stride: int
    sizes: npt.NDArray[np.float32]

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.height * self.width


def _levels(scene: Scene, maps: Sequence[Raw], head: YOLOv5Head | PoseHead) -> list[_Level]:
    """Return the grids of the maps; what a shape does not tell follows from the input."""
    found = []
    for output, stride, anchors in zip(maps, head.strides, head.anchors, strict=True):
        height, width = (
            size or length // stride
            for size, length in zip(output.shape[2:4], scene.input.size, strict=True)
        )
        found.append(_Level(height, width, stride, anchors * np.float32(stride)))
    return found


class _Objects(NamedTuple):
    """Pairs of an anchor and a cell whose objectness passes, ordered by level, anchor, cell.

    Attributes:
        columns: float32 `(channels, n)`: all channels of the anchor.
        cells: float32 `(2, n)`: column and row of the cell.
        strides: float32 `(1, n)`, in pixels.
        sizes: float32 `(2, n)`: width and height of the anchor, in pixels.
        anchors: float32 `(n,)`: number of the pair of level and anchor.
        are_logits: Whether the sigmoid is yet to be applied.
    """

    columns: Value
    cells: Value
    strides: Value
    sizes: Value
    anchors: Value
    are_logits: bool

    def activated(self, values: Value) -> Value:
        """Apply the sigmoid, unless the network has."""
        return sigmoid(values) if self.are_logits else values


def _objects(
    scene: Scene, maps: Sequence[Value], levels: Sequence[_Level], *, are_logits: bool
) -> _Objects:
    """Select objects from the maps `(anchors of a cell, channels, cells)` of the levels."""
    g, threshold = scene.g, scene.options["score_threshold"]
    bound = logit_below(threshold) if are_logits else threshold
    columns, places, first = [], [], 0
    for values, level in zip(maps, levels, strict=True):
        cells, channels = level.cells, values.size(1)
        hits = (values.take(_OBJECTNESS, 1) >= bound).nonzero()
        anchor, cell = hits.at(0), hits.at(1)
        # All channels of a cell are apart in memory; gathering them moves only what is needed.
        starts = (anchor * (channels * cells) + cell).reshape(1, -1)
        steps = (g.range(channels) * cells).reshape(-1, 1)
        columns.append(values.reshape(-1).take(starts + steps))
        places.append(anchor * cells + (cell + first))
        first += len(level.sizes) * cells
    table = g.constant(_table(levels)).take(g.concat(places), 1)
    parts = table.part(0, 2), table.part(2, 3), table.part(3, 5), table.at(5)
    return _Objects(g.concat(columns, axis=1), *parts, are_logits)


def _table(levels: Sequence[_Level]) -> npt.NDArray[np.float32]:
    """Return column, row, stride, anchor width and height, and anchor number, `(6, all cells)`."""
    parts = []
    for number, level in enumerate(levels):
        y, x = np.mgrid[: level.height, : level.width].reshape(2, -1)
        for anchor, size in enumerate(level.sizes, number * len(level.sizes)):
            rows = np.broadcast_arrays(x, y, level.stride, *size, anchor)
            parts.append(np.stack([row.astype(np.float32) for row in rows]))
    return np.concatenate(parts, axis=1)


def _candidates(scene: Scene, objects: _Objects, end: int) -> tuple[Candidates, Value]:
    """Return the detections before suppression, in memory order, and the columns of each.

    Args:
        scene: What there is beside the head.
        objects: Their objects.
        end: End of the channels of classes.
    """
    threshold = scene.options["score_threshold"]
    objectness = objects.activated(objects.columns.at(_OBJECTNESS)).reshape(1, -1)
    values = objects.activated(objects.columns.part(BOX_CHANNELS, end)) * objectness
    passes = (values > threshold) & (objectness > threshold) & values.is_finite()
    hits = passes.nonzero()
    hits = hits.take(scene.g.grouped(objects.anchors.take(hits.at(1))), 1)
    boxes = _place(scene, objects).take(hits.at(1))
    scores = values.pick(hits.transpose(1, 0))
    return Candidates(boxes, scores, classes=hits.at(0)), hits.at(1)


def _place(scene: Scene, objects: _Objects) -> Value:
    """Return xyxy boxes `(n, 4)` on the input."""
    values = objects.activated(objects.columns.part(0, _OBJECTNESS))
    center = (values.part(0, 2) * 2.0 - 0.5 + objects.cells) * objects.strides
    side = values.part(2, 4) * 2.0
    half = side * side * objects.sizes * 0.5
    return scene.g.concat([center - half, center + half]).transpose(1, 0)


def _keypoints(scene: Scene, objects: _Objects, columns: Value) -> Value:
    """Return the keypoints `(n, 17, 3)` of some columns, in the photo."""
    numbers = objects.columns.part(BOX_CHANNELS + 1, LIMITLESS).take(columns, 1)
    points = numbers.reshape(KEYPOINTS, 3, -1).transpose(2, 0, 1)
    cells = objects.cells.take(columns, 1).transpose(1, 0).reshape(-1, 1, 2)
    strides = objects.strides.take(columns, 1).reshape(-1, 1, 1)
    positions = (points.part(0, 2, 2) * 2.0 - 0.5 + cells) * strides
    confidence = sigmoid(points.part(2, 3, 2))
    return scene.g.concat([scene.placement.to_photo(positions), confidence], axis=2)
