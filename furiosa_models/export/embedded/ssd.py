"""Decoder of Single Shot MultiBox Detectors in a graph, as `heads.ssd`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError
from ...heads.ssd import CENTER_SCALE, SIZE_SCALE, SSDHead
from ...ops.nms import UNION_EPSILON
from .activations import logit_below, sigmoid, softmax
from .outputs import Raw, Scene
from .suppression import Candidates, Limits, suppress
from .values import LIMITLESS, Value

__all__ = ["decode_ssd"]


def decode_ssd(scene: Scene, head: SSDHead) -> dict[str, Value]:
    """Return `boxes`, `scores` and `classes`, best first."""
    g, options = scene.g, scene.options
    class_maps, box_maps = head.class_maps(scene.outputs), head.box_maps(scene.outputs)
    per_cell = _boxes_per_cell(head, box_maps)
    cells = [side * side for side in head.feature_maps]
    firsts = [0, *accumulate(a * n for a, n in zip(per_cell, cells, strict=True))]
    threshold = options["score_threshold"]
    bound = logit_below(threshold) if head.activation == "sigmoid" else threshold
    values, places, classes = [], [], []
    for output, a, n, first in zip(class_maps, per_cell, cells, firsts[:-1], strict=True):
        logits = _by_class(output.value, head, a, n)
        if head.activation == "softmax":
            logits = softmax(logits, 1)
        logits = logits.part(1, LIMITLESS, axis=1)  # without the background
        hits = (logits >= bound).nonzero()
        values.append(logits.pick(hits.transpose(1, 0)))
        places.append(hits.at(0) * n + hits.at(2) + first)
        classes.append(hits.at(1) + 1)
    scores = g.concat(values)
    if head.activation == "sigmoid":
        scores = sigmoid(scores)
    passes = scores > threshold if head.strict else scores >= threshold
    boxes = _boxes(scene, head, box_maps, per_cell, cells).take(g.concat(places))
    found = Candidates(boxes, scores, g.concat(classes))
    found = found.take((passes & scores.is_finite()).found())
    limits = Limits(
        options["iou_threshold"],
        options["max_detections"],
        UNION_EPSILON,
        max_per_class=head.max_per_class,
    )
    best = found.take(suppress(g, found, limits))
    size = scene.placement.size
    return {
        "boxes": best.boxes * g.concat([size, size]),
        "scores": best.scores,
        "classes": best.classes,
    }


def _boxes_per_cell(head: SSDHead, box_maps: Sequence[Raw]) -> list[int]:
    """Return the number of boxes of a cell of each level."""
    total, cells = len(head.default_boxes()), [side * side for side in head.feature_maps]
    known = [(output.shape[1] or 0) // 4 for output in box_maps]
    if sum(a * n for a, n in zip(known, cells, strict=True)) != total:
        shapes = [output.shape for output in box_maps]
        msg = (
            f"SSDHead has {total} default boxes for the feature maps {head.feature_maps}, but the "
            f"box maps have the shapes {shapes}: export the network with fixed shapes"
        )
        raise ConversionError(msg)
    return known


def _by_class(output: Value, head: SSDHead, a: int, n: int) -> Value:
    """Return a map as (boxes of a cell, channels of a box, cells), in memory order."""
    # In class-major order, the boxes of a cell and the cells are one axis.
    return output.reshape(1, -1, a * n) if head.channels == "class" else output.reshape(a, -1, n)


def _boxes(
    scene: Scene,
    head: SSDHead,
    box_maps: Sequence[Raw],
    per_cell: Sequence[int],
    cells: Sequence[int],
) -> Value:
    """Return all boxes `(n, 4)` xyxy, ordered by level, box of the cell, cell."""
    g = scene.g
    levels = [
        _by_class(output.value, head, a, n).transpose(0, 2, 1).reshape(-1, 4)
        for output, a, n in zip(box_maps, per_cell, cells, strict=True)
    ]
    order = [0, 1, 2, 3] if head.deltas == "xywh" else [1, 0, 3, 2]
    deltas = g.concat(levels).take(order, 1)
    anchors = _anchors(head, per_cell, cells)
    centers, sizes = (g.constant(part) for part in (anchors[:, :2], anchors[:, 2:]))
    center = centers + deltas.part(0, 2, 1) * CENTER_SCALE * sizes
    grown = (deltas.part(2, 4, 1) * SIZE_SCALE).cast(np.float64).exp().cast(np.float32)
    half = grown * sizes * 0.5
    return g.concat([center - half, center + half], axis=1)


def _anchors(
    head: SSDHead, per_cell: Sequence[int], cells: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return the default boxes ordered by level, box of the cell, cell."""
    anchors = head.default_boxes()
    if head.channels == "class":
        return anchors
    ends = [*accumulate(a * n for a, n in zip(per_cell, cells, strict=True))]
    levels = [
        level.reshape(n, a, 4).transpose(1, 0, 2).reshape(-1, 4)
        for level, a, n in zip(np.split(anchors, ends[:-1]), per_cell, cells, strict=True)
    ]
    return np.concatenate(levels)
