"""People and their keypoints, of a YOLOv7-w6-pose head.

The numbers are those of furiosa-models 0.10: boxes and scores as in `yolov5` for one class, a
keypoint at `(xy * 2 - 0.5 + cell) * stride` without a sigmoid, its confidence with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.ops.checks import check_array
from furiosa_models.ops.maps import check_levels
from furiosa_models.vision.yolo import YoloMaps, YoloRules, decode_yolo

__all__ = ["KEYPOINTS", "PoseArrays", "decode_pose"]

Floats: TypeAlias = npt.NDArray[np.float32]

KEYPOINTS = 17
"""How many keypoints a person has in COCO."""

_BOX_CHANNELS, _POINT_CHANNELS = 6, 3 * KEYPOINTS


class PoseArrays(NamedTuple):
    """What was found in one image, best first.

    Attributes:
        boxes: `(n, 4)` float32, xyxy, in pixels of the network's input.
        scores: `(n,)` float32.
        keypoints: `(n, 17, 3)` float32: x and y in pixels of the input, confidence 0..1.
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats


def decode_pose(
    box_maps: Sequence[Floats],
    keypoint_maps: Sequence[Floats],
    anchors: Floats,
    strides: Sequence[float],
    *,
    score_threshold: float = 0.1,
    iou_threshold: float = 0.45,
    max_detections: int | None = None,
    platform: Platform = Platform.RUST,
) -> list[PoseArrays]:
    """Return the people in every image of the batch, in pixels of the network's input.

    A score is the float32 product of objectness and class, and has to exceed the threshold. All
    boxes meet in suppression. The rest is as in `yolov5.decode_yolov5`. A keypoint is kept
    whatever its confidence, and wherever it lies.

    The maps of a level, one after the other, hold all 57 numbers of the first anchor, then those
    of the second, and so on; where the first map ends means nothing.

    Args:
        box_maps: one `(n, a * 6, h, w)` float32 map of logits per level.
        keypoint_maps: one `(n, a * 51, h, w)` float32 map of logits per level.
        anchors: `(levels, a, 2)` float32: width and height in cells, as `anchors` makes them.
        strides: pixels from cell to cell, of each level.
        score_threshold: 0..1; has to be exceeded.
        iou_threshold: 0..1.
        max_detections: the most people in an image.
        platform: RUST or PYTHON (numpy).

    Raises:
        ShapeError: maps, anchors or strides of the wrong count, shape or dtype.
        ValueError: a threshold outside 0..1, or a negative limit.
    """
    found = check_levels("box_maps", box_maps, strides)
    others = check_levels("keypoint_maps", keypoint_maps, strides)
    check_array("anchors", anchors, np.float32, (len(strides), "a", 2))
    per_cell = anchors.shape[1]
    wanted = (found[0], per_cell * _BOX_CHANNELS), (found[0], per_cell * _POINT_CHANNELS)
    grids = [(m.shape[2:], k.shape[2:]) for m, k in zip(box_maps, keypoint_maps, strict=True)]
    if (found, others) != wanted or any(one != other for one, other in grids):
        msg = (
            f"box_maps and keypoint_maps must have shapes {(*wanted[0], 'h', 'w')} and "
            f"{(*wanted[1], 'h', 'w')} for the {per_cell} anchors of a cell, got "
            f"{box_maps[0].shape} and {keypoint_maps[0].shape}"
        )
        raise ShapeError(msg)
    rules = YoloRules(
        classes=1,
        keypoints=KEYPOINTS,
        with_sigmoid=True,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_candidates=None,
        max_detections=max_detections,
    )
    batch = decode_yolo(YoloMaps(box_maps, keypoint_maps, anchors, strides), rules, platform)
    return [PoseArrays(people.boxes, people.scores, points) for people, points in batch]
