"""Heads that find people and their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...enums import Platform
from ...images.preprocess import ImageContext
from ...ops.anchors import Anchors, yolo_p6_anchors
from ..pose import PoseArrays, decode_pose
from ..results import Poses
from .base import Outputs, check_contexts, check_count, or_default, to_photo

__all__ = ["PoseHead"]


@dataclass(frozen=True, slots=True, eq=False)
class PoseHead:
    """YOLOv7-w6-pose (Maji et al. 2022, arXiv:2204.06806; Wang et al. 2022, arXiv:2207.02696).

    A score has to exceed the score threshold; of people who overlap by more than the IoU threshold
    the best one stays.

    Attributes:
        anchors: (levels, a, 2) float32, or numbers of that shape: width and height in cells.
        strides: Pixels from cell to cell, of each level.
        score_threshold: Score that a person exceeds.
        iou_threshold: Largest overlap of two people.
        max_detections: Most people in a photo.
    """

    anchors: Anchors = field(default_factory=yolo_p6_anchors)
    strides: tuple[int, ...] = (8, 16, 32, 64)
    score_threshold: float = 0.1
    iou_threshold: float = 0.45
    max_detections: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", np.asarray(self.anchors, np.float32))

    def observed(self, done: frozenset[str]) -> dict[str, Any]:  # noqa: ARG002 - one form only
        """Fields that a graph decides which ends in the operations `done`."""
        return {}

    def decode(
        self,
        outputs: Outputs,
        contexts: Sequence[ImageContext],
        names: Sequence[str],  # noqa: ARG002 - all are people
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Poses]:
        """People in each photo of a batch.

        Boxes and keypoints may lie outside of the photo, as in 0.10.

        Args:
            outputs: Box and keypoint maps in turn, finest first: (n, a*6, h, w) and
                (n, a*51, h, w) float32 logits.
            contexts: What `preprocess` said of each photo.
            names: Table of labels; not needed.
            platform: Python (numpy) or Rust; the results are the same.
            score_threshold: In place of the head's own.
            iou_threshold: In place of the head's own.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        check_count(outputs, 2 * len(self.strides))
        batch = decode_pose(
            outputs[0::2],
            outputs[1::2],
            self.anchors,
            self.strides,
            score_threshold=or_default(score_threshold, self.score_threshold),
            iou_threshold=or_default(iou_threshold, self.iou_threshold),
            max_detections=self.max_detections,
            platform=platform,
        )
        check_contexts(contexts, len(batch))
        return [_in_photo(*pair) for pair in zip(batch, contexts, strict=True)]


def _in_photo(found: PoseArrays, context: ImageContext) -> Poses:
    places, confidence = found.keypoints[:, :, :2], found.keypoints[:, :, 2:]
    keypoints = np.concatenate((to_photo(places, context), confidence), axis=2)
    return Poses(to_photo(found.boxes, context), found.scores, keypoints)
