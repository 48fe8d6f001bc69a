"""Heads that find people and their keypoints: YOLOv7-w6-pose and exported YOLO pose models.

The decoding is that of furiosa-models 0.10. Boxes and scores are computed as in `yolo`, for one
class. A keypoint is at `(xy * 2 - 0.5 + cell) * stride`, without a sigmoid; its confidence is the
sigmoid of a logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..ops.anchors import Anchors, yolo_p6_anchors
from ..ops.boxes import box_convert, to_photo
from ..ops.checks import check_array, check_contexts, check_count, check_unit
from ..ops.nms import nms
from ..spec import GraphFacts, Head, ImageContext, ImageInput
from ..tasks.pose import POSE, Poses, PoseTask
from .yolo import YoloMaps, YoloRules, check_levels, decode_yolo

__all__ = [
    "KEYPOINTS",
    "PoseArrays",
    "PoseColumnsHead",
    "PoseHead",
    "box_of_joints",
    "decode_pose",
]


@dataclass(frozen=True, slots=True, eq=False)
class PoseHead(Head):
    """Head of YOLOv7-w6-pose (arXiv:2207.02696; YOLO-Pose: Maji et al. 2022, arXiv:2204.06806).

    Scores must exceed the score threshold. Of people who overlap by more than the IoU threshold,
    the best one is kept.

    Attributes:
        anchors: (levels, a, 2) float32 or nested numbers: width and height in cells.
        strides: Stride of each level, in pixels.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two people, in 0..1.
        max_detections: Maximum number of people per photo; None for no limit.
    """

    task: ClassVar[PoseTask] = POSE

    anchors: Anchors = field(default_factory=yolo_p6_anchors)
    strides: tuple[int, ...] = (8, 16, 32, 64)
    score_threshold: float = 0.1
    iou_threshold: float = 0.45
    max_detections: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", np.asarray(self.anchors, np.float32))

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],  # noqa: ARG002 - all are people
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Poses]:
        """Return the people in each photo of a batch.

        Boxes and keypoints may lie outside of the photo, as in 0.10.

        Args:
            outputs: Alternating box and keypoint maps, finest first: (n, a*6, h, w) and (n, a*51,
                h, w) float32 logits.
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels; not used.
            platform: RUST or PYTHON (numpy); results agree to 1e-6.
            score_threshold: Overrides the head's own.
            iou_threshold: Overrides the head's own.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        check_count(outputs, 2 * len(self.strides))
        batch = decode_pose(
            outputs[0::2],
            outputs[1::2],
            self.anchors,
            self.strides,
            score_threshold=self.score_threshold if score_threshold is None else score_threshold,
            iou_threshold=self.iou_threshold if iou_threshold is None else iou_threshold,
            max_detections=self.max_detections,
            platform=platform,
        )
        check_contexts(contexts, len(batch))
        return [people.in_photo(own) for people, own in zip(batch, contexts, strict=True)]


Floats: TypeAlias = npt.NDArray[np.float32]

KEYPOINTS = 17
"""Number of keypoints of a person in COCO."""

_BOX_CHANNELS, _POINT_CHANNELS = 6, 3 * KEYPOINTS


class PoseArrays(NamedTuple):
    """People found in one image, best first.

    Attributes:
        boxes: `(n, 4)` float32, xyxy, in pixels of the network's input.
        scores: `(n,)` float32.
        keypoints: `(n, 17, 3)` float32: x and y in pixels of the input, and confidence in 0..1.
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats

    def take(self, places: npt.NDArray[np.int64], scale: np.float32) -> PoseArrays:
        """Return the people at these indices, with positions times `scale`."""
        points = self.keypoints[places]
        points[:, :, :2] *= scale
        return PoseArrays(self.boxes[places] * scale, self.scores[places], points)

    def distinct(
        self, score_threshold: float, iou_threshold: float, *, platform: Platform
    ) -> npt.NDArray[np.int64]:
        """Return the indices of the people whose scores exceed a threshold, best first.

        Of people who overlap by more than the IoU threshold, the best one is kept.
        """
        kept = nms(self.boxes, self.scores, iou_threshold, platform=platform)
        above: npt.NDArray[np.int64] = kept[self.scores[kept] > np.float32(score_threshold)]
        return above

    def in_photo(self, context: ImageContext, keypoint_threshold: float = 0.5) -> Poses:
        """Return the people in pixels of the photo; for the threshold see `Poses`."""
        positions, confidence = self.keypoints[:, :, :2], self.keypoints[:, :, 2:]
        keypoints = np.concatenate((to_photo(positions, context), confidence), axis=2)
        boxes = to_photo(self.boxes, context)
        return Poses(boxes, self.scores, keypoints, keypoint_threshold=keypoint_threshold)


def box_of_joints(joints: Floats, threshold: float) -> Floats:
    """Return the box around the sure joints of a person, or the best joint, if none is sure.

    Args:
        joints: (17, 3): x, y and confidence.
        threshold: Confidence that sure joints exceed.
    """
    sure = joints[:, 2] > np.float32(threshold)
    points = joints[sure if sure.any() else [int(joints[:, 2].argmax())], :2]
    return np.concatenate((points.min(0), points.max(0)))


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
    """Return the people in every image of a batch, in pixels of the network's input.

    A score is the float32 product of objectness and class score, and must exceed the threshold. All
    boxes are suppressed as one class. The other rules are those of `yolo.decode_yolov5`. Keypoints
    are kept regardless of their confidence and position.

    The channels of a level's two maps, concatenated, are all 57 values of the first anchor, then
    those of the second, and so on; the split between the maps is arbitrary.

    Args:
        box_maps: One `(n, a * 6, h, w)` float32 map of logits per level.
        keypoint_maps: One `(n, a * 51, h, w)` float32 map of logits per level.
        anchors: `(levels, a, 2)` float32: width and height in cells.
        strides: Stride of each level, in pixels.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two people, in 0..1.
        max_detections: Maximum number of people per image; None for no limit.
        platform: RUST or PYTHON (numpy); results agree to 1e-6.

    Raises:
        ShapeError: Maps, anchors or strides have the wrong count, shape or dtype.
        ValueError: A threshold is outside 0..1, or the limit is negative.
    """
    found = check_levels("box_maps", box_maps, strides)
    others = check_levels("keypoint_maps", keypoint_maps, strides)
    check_array("anchors", anchors, np.float32, (len(strides), "a", 2))
    per_cell = anchors.shape[1]
    expected = (found[0], per_cell * _BOX_CHANNELS), (found[0], per_cell * _POINT_CHANNELS)
    grids = [(m.shape[2:], k.shape[2:]) for m, k in zip(box_maps, keypoint_maps, strict=True)]
    if (found, others) != expected or any(one != other for one, other in grids):
        msg = (
            f"box_maps and keypoint_maps must have shapes {(*expected[0], 'h', 'w')} and "
            f"{(*expected[1], 'h', 'w')} for the {per_cell} anchors of a cell, got "
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


@dataclass(frozen=True, slots=True)
class PoseColumnsHead(Head):
    """Head of exported YOLOv8-pose and YOLO11-pose: decoded boxes, a score and 17 keypoints.

    Attributes:
        size: Height and width of the network's input, in pixels.
        transposed: Whether the output is (n, 56, N) rather than (n, N, 56).
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two people, in 0..1.
        max_detections: Maximum number of people per photo; None for no limit.
    """

    task: ClassVar[PoseTask] = POSE

    size: tuple[int, int]
    transposed: bool = True
    score_threshold: float = 0.25
    iou_threshold: float = 0.7
    max_detections: int | None = 300

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the authors' input specification: letterboxed, divided by 255."""
        del graph
        return ImageInput(size=self.size, resize="letterbox", std=(255.0, 255.0, 255.0))

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],  # noqa: ARG002 - all are people
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Poses]:
        """Return the people in each photo; see `PoseHead.decode`.

        Raises:
            ShapeError: Outputs or contexts have the wrong count or shape.
            ValueError: A threshold is not between 0 and 1.
        """
        check_count(outputs, 1)
        threshold = self.score_threshold if score_threshold is None else score_threshold
        overlap = self.iou_threshold if iou_threshold is None else iou_threshold
        check_unit("score_threshold", threshold)
        rows = np.asarray(outputs[0], np.float32)
        rows = rows.transpose(0, 2, 1) if self.transposed else rows
        check_contexts(contexts, len(rows))
        found = []
        for image, context in zip(rows, contexts, strict=True):
            people = image[image[:, 4] > np.float32(threshold)]
            boxes = box_convert(np.ascontiguousarray(people[:, :4]), "cxcywh", "xyxy")
            scores = np.ascontiguousarray(people[:, 4])
            kept = nms(boxes, scores, overlap, platform=platform)[: self.max_detections]
            points = people[kept, 5:].reshape(-1, KEYPOINTS, 3)
            positions = to_photo(points[:, :, :2], context)
            keypoints = np.concatenate((positions, points[:, :, 2:]), axis=2)
            found.append(Poses(to_photo(boxes[kept], context), scores[kept], keypoints))
        return found
