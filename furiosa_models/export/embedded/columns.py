"""Decoders of decoded boxes in a graph, as `heads.boxes`, `heads.anchor_free` and pose exports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...heads.anchor_free import GridHead, grid_cells
from ...heads.boxes import FRACTION_LIMIT, BoxesHead
from ...heads.pose import KEYPOINTS, PoseColumnsHead
from ...ops.nms import UNION_EPSILON
from .activations import sigmoid, softmax
from .builder import Builder
from .outputs import Raw, Scene, best_detections
from .suppression import Candidates, Limits, suppress
from .values import LIMITLESS, Value

__all__ = ["decode_boxes", "decode_cells", "decode_pose_columns"]


def decode_boxes(scene: Scene, head: BoxesHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `classes`, best first."""
    required = [i for i in (head.boxes, head.scores, head.classes) if i is not None]
    outputs = [scene.outputs[i] for i in required]
    is_batch = len(outputs[0].shape) == 3  # exports of torchvision have no batch
    rows, *others = (raw.of_photo if is_batch else raw.value for raw in outputs)
    return _decode_rows(scene, head, rows.transpose(1, 0) if head.transposed else rows, others)


def _decode_rows(
    scene: Scene, head: BoxesHead, rows: Value, others: Sequence[Value]
) -> dict[str, Value]:
    """Return the outputs for rows `(n, 4 or more)` of one photo."""
    g, options = scene.g, scene.options
    rows = rows.cast(np.float32)
    found = _candidates(scene, head, rows, [other.cast(np.float32) for other in others])
    corners = _corners(g, found.boxes, head.box_format) * _scale(g, head, rows)
    found = found._replace(boxes=corners)
    if head.suppress:
        thresholds = options["iou_threshold"], options["max_detections"]
        limits = Limits(*thresholds, UNION_EPSILON, max_candidates=head.max_candidates)
        kept = suppress(g, found, limits)
    else:
        valid = (found.boxes.is_finite().every(1) & found.scores.is_finite()).found()
        kept = valid.take(found.scores.take(valid).order(options["max_detections"]))
    return best_detections(scene, found._replace(classes=found.classes + head.first_class), kept)


def _candidates(scene: Scene, head: BoxesHead, rows: Value, others: Sequence[Value]) -> Candidates:
    """Return the rows above the threshold, in memory order; the boxes are as in the output."""
    threshold, boxes = scene.options["score_threshold"], rows.part(0, 4, 1)
    if head.chosen or head.classes is not None:
        scores, classes = others if others else (rows.take(i, 1) for i in (4, 5))
        hit = (scores > threshold).found()
        return Candidates(boxes, scores, classes.cast(np.int64)).take(hit)
    values = others[0] if others else rows.part(4, LIMITLESS, 1)
    if head.objectness:
        passing = (values.take(0, 1) > threshold).found()
        boxes, values = boxes.take(passing), values.take(passing)
        values = values.part(1, LIMITLESS, 1) * values.part(0, 1, 1)
    if head.activation == "softmax":
        values = softmax(values, 1)
    if head.background is not None:
        values = values.part(1, LIMITLESS, 1) if head.background == "first" else _but_last(values)
    if head.activation == "sigmoid":
        values = sigmoid(values)
    if head.multi_label:
        hits = (values > threshold).nonzero()
        scores = values.pick(hits.transpose(1, 0))
        return Candidates(boxes.take(hits.at(0)), scores, hits.at(1))
    hit = (values.max(1).reshape(-1) > threshold).found()
    best = values.take(hit)
    return Candidates(boxes.take(hit), best.max(1).reshape(-1), best.argmax(1))


def _but_last(values: Value) -> Value:
    return values.part(0, -1, 1)


def _scale(g: Builder, head: BoxesHead, rows: Value) -> Value:
    """Return the four factors that convert xyxy boxes to pixels of the input."""
    height, width = head.size
    fraction = g.constant([width, height, width, height], np.float32)
    pixels = g.constant([1, 1, 1, 1], np.float32)
    if head.unit != "auto":
        return fraction if head.unit == "fraction" else pixels
    numbers = rows.part(0, 4, 1).reshape(-1)
    sizes = g.concat([numbers.is_finite().where(numbers.abs(), 0.0), g.constant([0.0], np.float32)])
    return (sizes.max(0) <= FRACTION_LIMIT).where(fraction, pixels)


def _corners(g: Builder, boxes: Value, box_format: str) -> Value:
    if box_format == "xyxy":
        return boxes
    if box_format == "yxyx":
        return boxes.take([1, 0, 3, 2], 1)
    first, second = boxes.part(0, 2, 1), boxes.part(2, 4, 1)
    if box_format == "xywh":
        return g.concat([first, first + second], axis=1)
    return g.concat([first - second * 0.5, first + second * 0.5], axis=1)


def decode_cells(scene: Scene, head: GridHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `classes` of YOLOX or NanoDet, best first."""
    cells = scene.g.constant(grid_cells(head.size, head.strides))
    decode = _yolox if head.kind == "yolox" else _nanodet
    return _decode_rows(scene, head.boxes_head(), decode(scene, head, cells), [])


def _yolox(scene: Scene, head: GridHead, cells: Value) -> Value:
    del head
    rows = scene.outputs[0].of_photo
    places, strides = cells.part(0, 2, 1), cells.part(2, 3, 1)
    centers = (rows.part(0, 2, 1) + places) * strides
    sizes = rows.part(2, 4, 1).exp() * strides
    return scene.g.concat([centers, sizes, rows.part(4, LIMITLESS, 1)], axis=1)


def _nanodet(scene: Scene, head: GridHead, cells: Value) -> Value:
    g, sides = scene.g, 4 * head.bins
    if len(scene.outputs) == 1:
        rows = scene.outputs[0].of_photo
        scores, distances = rows.part(0, -sides, 1), rows.part(-sides, LIMITLESS, 1)
    else:
        finest_first = sorted(scene.outputs, key=_rows_last)
        distances, scores = (
            g.concat([o.of_photo for o in finest_first if (o.shape[-1] == sides) is are_sides])
            for are_sides in (True, False)
        )
    places, strides = cells.part(0, 2, 1), cells.part(2, 3, 1)
    parts = softmax(distances.reshape(-1, 4, head.bins), 2)
    steps = g.constant(np.arange(head.bins), np.float32)
    offsets = (parts * steps).sum(2).reshape(-1, 4) * strides
    center = (places + 0.5) * strides
    first, end = center - offsets.part(0, 2, 1), center + offsets.part(2, 4, 1)
    return g.concat([first, end, scores], axis=1)


def _rows_last(output: Raw) -> int:
    return -(output.shape[1] or 0)


def decode_pose_columns(scene: Scene, head: PoseColumnsHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `keypoints`, best first."""
    g, options = scene.g, scene.options
    rows = scene.outputs[0].of_photo
    rows = rows.transpose(1, 0) if head.transposed else rows
    people = rows.take((rows.take(4, 1) > options["score_threshold"]).found())
    boxes, scores = _corners(g, people.part(0, 4, 1), "cxcywh"), people.take(4, 1)
    found = Candidates(boxes, scores, g.range(scores.size(0)) * 0)
    limits = Limits(options["iou_threshold"], options["max_detections"], epsilon=0.0)
    kept = suppress(g, found, limits)
    points = people.part(5, LIMITLESS, 1).take(kept).reshape(-1, KEYPOINTS, 3)
    positions = scene.placement.to_photo(points.part(0, 2, 2))
    return {
        "boxes": scene.corners_to_photo(boxes.take(kept)),
        "scores": scores.take(kept),
        "keypoints": g.concat([positions, points.part(2, 3, 2)], axis=2),
    }
