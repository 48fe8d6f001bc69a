"""Detections of an SSD head, read straight off its raw NCHW maps.

Scores are compared before they are computed: a scan for logits above the threshold's logit finds
the candidates, and only these are decoded. The result equals decoding everything, as MLPerf's
reference and furiosa-models 0.10 do, because the scan is a little loose and the exact test
(`score >= score_threshold`, in float32) follows. `native/src/ssd.rs` is the twin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from furiosa_models.errors import ShapeError
from furiosa_models.types import Platform
from furiosa_models.vision import native
from furiosa_models.vision.boxes import check_boxes
from furiosa_models.vision.checks import check_array, check_choice, check_limit, check_unit
from furiosa_models.vision.nms import batched_nms

__all__ = ["Activation", "DetectionArrays", "decode_ssd"]

Activation: TypeAlias = Literal["sigmoid", "softmax", "none"]
Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]

UNION_EPSILON = 1e-5  # added to the union of two boxes by MLPerf's reference and by 0.10
_CENTER_SCALE, _SIZE_SCALE = np.float32(0.1), np.float32(0.2)  # variances 10 and 5
_SLACK = 1.0 / 65536.0  # the scan lets through scores this much (relatively) below the threshold


class DetectionArrays(NamedTuple):
    """What was detected in one image, best first.

    Attributes:
        boxes: `(n, 4)` float32, xyxy, as fractions of the image; they may reach out of it.
        scores: `(n,)` float32.
        class_ids: `(n,)` int64; class 0 is the background and never detected.
    """

    boxes: Floats
    scores: Floats
    class_ids: Indices


def decode_ssd(
    class_maps: Sequence[Floats],
    box_maps: Sequence[Floats],
    anchors: Floats,
    *,
    activation: Activation = "sigmoid",
    score_threshold: float = 0.3,
    iou_threshold: float = 0.6,
    max_per_class: int | None = None,
    max_detections: int | None = None,
    platform: Platform = Platform.RUST,
) -> list[DetectionArrays]:
    """Return the detections of every image of the batch.

    Scores and the logarithmic sizes are taken in float64 and rounded to float32 once; a detection
    has `score >= score_threshold`. Suppression is greedy within a class, by `iou > iou_threshold`
    with 1e-5 added to the union. Equal scores rank in the order of the maps in memory: map,
    anchor, class, cell. A NaN is never a detection; an infinite logit is a score of 0 or 1
    (sigmoid) or no detection; a box that is not finite is dropped.

    Args:
        class_maps: one `(n, a * c, h, w)` float32 map of logits per level, of `c` classes.
        box_maps: one `(n, a * 4, h, w)` float32 map per level: y, x, height, width.
        anchors: `(sum of h * w * a, 4)` float32, cxcywh, as `anchors` makes them.
        activation: what makes scores of logits; `none` if the graph has done so.
        score_threshold: 0..1.
        iou_threshold: 0..1.
        max_per_class: the most detections of a class in an image.
        max_detections: the most detections in an image.
        platform: RUST or PYTHON (numpy).

    Raises:
        ShapeError: maps or anchors of the wrong count, shape or dtype.
        ValueError: a threshold outside 0..1, a negative limit or an unknown activation.
    """
    classes = _check_maps(class_maps, box_maps, anchors)
    check_unit("score_threshold", score_threshold)
    check_unit("iou_threshold", iou_threshold)
    check_limit("max_per_class", max_per_class)
    check_limit("max_detections", max_detections)
    check_choice("activation", activation, get_args(Activation))
    if native.wanted(platform):
        found = native.load().decode_ssd(
            class_maps,
            box_maps,
            anchors,
            activation=activation,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            epsilon=UNION_EPSILON,
            max_per_class=max_per_class,
            max_detections=max_detections,
        )
        return [DetectionArrays(*arrays) for arrays in found]
    results = []
    for image in range(len(class_maps[0])):
        levels = [(c[image], b[image]) for c, b in zip(class_maps, box_maps, strict=True)]
        found = _candidates(levels, anchors, classes, activation, np.float32(score_threshold))
        kept = batched_nms(
            *found,
            iou_threshold,
            epsilon=UNION_EPSILON,
            max_per_class=max_per_class,
            max_detections=max_detections,
            platform=Platform.PYTHON,
        )
        results.append(
            DetectionArrays(found.boxes[kept], found.scores[kept], found.class_ids[kept])
        )
    return results


def _check_maps(class_maps: Sequence[Floats], box_maps: Sequence[Floats], anchors: Floats) -> int:
    """Return the number of classes, the background included."""
    if not class_maps or len(class_maps) != len(box_maps):
        msg = (
            "there must be as many class maps as box maps, and at least one, "
            f"got {len(class_maps)} and {len(box_maps)}"
        )
        raise ShapeError(msg)
    check_boxes(anchors, "anchors")
    for name, maps in (("class_maps", class_maps), ("box_maps", box_maps)):
        for i, value in enumerate(maps):
            check_array(f"{name}[{i}]", value, np.float32, ("n", "channels", "h", "w"))
    classes: int = class_maps[0].shape[1] * 4 // max(box_maps[0].shape[1], 1)
    images = len(class_maps[0])
    total = 0
    for i, (of_classes, of_boxes) in enumerate(zip(class_maps, box_maps, strict=True)):
        height, width = of_classes.shape[2:]
        cell = of_boxes.shape[1] // 4
        wanted = (images, cell * classes, height, width), (images, cell * 4, height, width)
        if (of_classes.shape, of_boxes.shape) != wanted or not cell * height * width * classes:
            msg = (
                f"class_maps[{i}] and box_maps[{i}] must have shapes (n, a * c, h, w) and "
                f"(n, a * 4, h, w), with n = {images} and c = {classes} as in the first, "
                f"got {of_classes.shape} and {of_boxes.shape}"
            )
            raise ShapeError(msg)
        total += cell * height * width
    if total != len(anchors):
        msg = f"the maps have {total} anchors, got {len(anchors)} in `anchors`"
        raise ShapeError(msg)
    return classes


class _Hits(NamedTuple):
    """Candidates of one level, in the order of its map.

    Attributes:
        logits: `(n,)`, or of all classes `(n, classes)` where softmax needs them.
        deltas: `(n, 4)`.
        anchors: `(n, 4)`.
        class_ids: `(n,)`.
    """

    logits: Floats
    deltas: Floats
    anchors: Floats
    class_ids: Indices


def _candidates(
    levels: Sequence[tuple[Floats, Floats]],
    anchors: Floats,
    classes: int,
    activation: Activation,
    threshold: np.float32,
) -> DetectionArrays:
    """Return all detections of one image, before suppression, in the order of the maps."""
    bound = _scan_bound(activation, threshold)
    softmax = activation == "softmax"
    found = []
    first = 0
    with np.errstate(all="ignore"):  # hostile outputs overflow; the tests below drop them
        for of_classes, of_boxes in levels:
            per_cell = of_boxes.shape[0] // 4
            logits = of_classes.reshape(per_cell, classes, -1)
            deltas = of_boxes.reshape(per_cell, 4, -1)
            own = anchors[first : first + per_cell * deltas.shape[2]]
            found.append(_scan(logits, deltas, own, bound, softmax=softmax))
            first += len(own)
        hits = _Hits(*(np.concatenate(column) for column in zip(*found, strict=True)))
        scores = _scores(hits, activation)
        boxes = _place(hits.deltas, hits.anchors)
        sound = (scores >= threshold) & np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
    return DetectionArrays(boxes[sound], scores[sound], hits.class_ids[sound])


def _scan_bound(activation: Activation, threshold: np.float32) -> np.float32:
    """Return the least logit (softmax: margin over the background) that may reach `threshold`."""
    if activation == "none":
        return threshold
    loose = float(threshold) * (1.0 - _SLACK)
    bound: np.float32 = np.float32(math.log(loose / (1.0 - loose)) if loose else -math.inf)
    return bound


def _scan(
    logits: Floats, deltas: Floats, anchors: Floats, bound: np.float32, *, softmax: bool
) -> _Hits:
    """Return the candidates among `(anchors a cell, classes, cells)` logits."""
    per_cell, classes, cells = logits.shape
    margins = logits[:, 1:] - logits[:, :1] if softmax else logits[:, 1:]
    hit = np.flatnonzero(margins >= bound)
    row, cell = np.divmod(hit, cells)
    anchor, class_id = np.divmod(row, classes - 1)
    class_id += 1
    wanted = logits[anchor, :, cell] if softmax else logits[anchor, class_id, cell]
    return _Hits(wanted, deltas[anchor, :, cell], anchors[cell * per_cell + anchor], class_id)


def _scores(hits: _Hits, activation: Activation) -> Floats:
    if activation == "none":
        return hits.logits
    exact = hits.logits.astype(np.float64)
    if activation == "sigmoid":
        scores = 1.0 / (1.0 + np.exp(-exact))
    else:
        powers = np.exp(exact - exact.max(axis=1, keepdims=True))
        scores = powers[np.arange(len(powers)), hits.class_ids] / powers.sum(axis=1)
    return scores.astype(np.float32)


def _place(deltas: Floats, anchors: Floats) -> Floats:
    """Return the xyxy boxes that deltas (y, x, height, width) make of cxcywh anchors."""
    center = anchors[:, :2] + deltas[:, 1::-1] * _CENTER_SCALE * anchors[:, 2:]
    grown = np.exp((deltas[:, :1:-1] * _SIZE_SCALE).astype(np.float64)).astype(np.float32)
    half = grown * anchors[:, 2:] * np.float32(0.5)
    return np.concatenate((center - half, center + half), axis=1)
