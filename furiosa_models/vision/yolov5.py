"""Detections of a YOLOv5 head.

The numbers are those of Ultralytics' YOLOv5 6.0 and furiosa-models 0.10: a box's centre is
`(xy * 2 - 0.5 + cell) * stride`, its size `(wh * 2) ** 2 * anchor`, a score objectness times
class, and every class of a box whose score exceeds the threshold is a candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.ops.checks import check_array
from furiosa_models.ops.maps import check_levels
from furiosa_models.ops.nms import DetectionArrays
from furiosa_models.vision.yolo import BOX_CHANNELS, YoloMaps, YoloRules, decode_yolo

__all__ = ["decode_yolov5"]

Floats: TypeAlias = npt.NDArray[np.float32]


def decode_yolov5(
    maps: Sequence[Floats],
    anchors: Floats,
    strides: Sequence[float],
    *,
    with_sigmoid: bool = False,
    score_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    max_candidates: int | None = 30_000,
    max_detections: int | None = 300,
    platform: Platform = Platform.RUST,
) -> list[DetectionArrays]:
    """Return the detections of every image of the batch, boxes in pixels of the network's input.

    A score is the float32 product of objectness and class, and a detection has both objectness
    and score above the threshold. Suppression is greedy within a class, by `iou > iou_threshold`
    with 1e-5 added to the union. Equal scores rank in the order of the maps in memory. A NaN is
    never a detection, nor is an infinite score or a box that is not finite. The images of a batch
    do not touch each other.

    Args:
        maps: one `(n, a * (5 + c), h, w)` float32 map per level, of `c` classes.
        anchors: `(levels, a, 2)` float32: width and height in cells, as `anchors` makes them.
        strides: pixels from cell to cell, of each level.
        with_sigmoid: whether to take the sigmoid of the maps, which then hold logits.
        score_threshold: 0..1; has to be exceeded.
        iou_threshold: 0..1.
        max_candidates: how many candidates of an image, the best ones, go through suppression.
        max_detections: the most detections in an image.
        platform: RUST or PYTHON (numpy).

    Raises:
        ShapeError: maps, anchors or strides of the wrong count, shape or dtype.
        ValueError: a threshold outside 0..1, or a negative limit.
    """
    _, channels = check_levels("maps", maps, strides)
    check_array("anchors", anchors, np.float32, (len(strides), "a", 2))
    per_anchor, rest = divmod(channels, max(anchors.shape[1], 1))
    if rest or per_anchor <= BOX_CHANNELS:
        msg = (
            f"maps must have a * (5 + c) channels for the {anchors.shape[1]} anchors of a cell "
            f"and c classes, at least one, got {channels}"
        )
        raise ShapeError(msg)
    rules = YoloRules(
        classes=per_anchor - BOX_CHANNELS,
        keypoints=0,
        with_sigmoid=with_sigmoid,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_candidates=max_candidates,
        max_detections=max_detections,
    )
    batch = decode_yolo(YoloMaps(maps, (), anchors, strides), rules, platform)
    return [found for found, _ in batch]
