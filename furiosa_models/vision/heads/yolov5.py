"""Heads of YOLOv5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...enums import Platform
from ...images.preprocess import ImageContext
from ...ops.anchors import Anchors, yolo_p5_anchors
from ..results import Detections
from ..yolov5 import decode_yolov5
from .base import Outputs, check_contexts, check_count, or_default, to_photo

__all__ = ["YOLOv5Head"]


@dataclass(frozen=True, slots=True, eq=False)
class YOLOv5Head:
    """YOLOv5 (Jocher 2020), versions 6 and 7.

    The defaults are those of the networks for 640 pixels. A detection's score has to exceed the
    score threshold; of boxes of one class that overlap by more than the IoU threshold the best one
    stays.

    Attributes:
        anchors: (levels, a, 2) float32, or numbers of that shape: width and height in cells.
        strides: Pixels from cell to cell, of each level.
        sigmoid_inside: Whether the graph ends in a sigmoid; if not, the head takes it.
        score_threshold: Score, and objectness, that a detection exceeds.
        iou_threshold: Largest overlap of two detections of one class.
        max_candidates: How many candidates, the best ones, go through suppression.
        max_detections: Most detections in a photo.
    """

    anchors: Anchors = field(default_factory=yolo_p5_anchors)
    strides: tuple[int, ...] = (8, 16, 32)
    sigmoid_inside: bool = True
    score_threshold: float = 0.25
    iou_threshold: float = 0.45
    max_candidates: int | None = 30_000
    max_detections: int | None = 300

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", np.asarray(self.anchors, np.float32))

    def observed(self, done: frozenset[str]) -> dict[str, Any]:
        """Fields that a graph decides which ends in the operations `done`."""
        return {"sigmoid_inside": "Sigmoid" in done}

    def decode(
        self,
        outputs: Outputs,
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        with_sigmoid: bool | None = None,
    ) -> list[Detections]:
        """Detections of each photo of a batch.

        Boxes may reach out of the photo, as in 0.10.

        Args:
            outputs: One (n, a*(5+c), h, w) float32 map per level, finest first.
            contexts: What `preprocess` said of each photo.
            names: Table of labels.
            platform: Python (numpy) or Rust; the results are the same.
            score_threshold: In place of the head's own.
            iou_threshold: In place of the head's own.
            with_sigmoid: Whether to take the sigmoid of the maps, in place of what the head says.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        check_count(outputs, len(self.strides))
        batch = decode_yolov5(
            outputs,
            self.anchors,
            self.strides,
            with_sigmoid=or_default(with_sigmoid, not self.sigmoid_inside),
            score_threshold=or_default(score_threshold, self.score_threshold),
            iou_threshold=or_default(iou_threshold, self.iou_threshold),
            max_candidates=self.max_candidates,
            max_detections=self.max_detections,
            platform=platform,
        )
        check_contexts(contexts, len(batch))
        return [
            Detections(to_photo(found.boxes, context), found.scores, found.class_ids, names)
            for found, context in zip(batch, contexts, strict=True)
        ]
