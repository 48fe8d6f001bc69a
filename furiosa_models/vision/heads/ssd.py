"""Heads of Single Shot MultiBox Detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ...enums import Platform
from ...images.preprocess import ImageContext
from ...ops.anchors import Anchors, default_boxes, multiple_grid_anchors
from ..results import Detections
from ..ssd import Activation, ChannelOrder, DeltaOrder, SSDLayout, decode_ssd
from .base import Outputs, check_contexts, check_count, or_default

__all__ = ["SSDHead"]

BoxKind: TypeAlias = Literal["multiple_grid", "default_boxes"]
OutputOrder: TypeAlias = Literal["interleaved", "grouped"]


@dataclass(frozen=True, slots=True)
class SSDHead:
    """Single Shot MultiBox Detector (Liu et al. 2016, arXiv:1512.02325).

    The defaults are those of SSD MobileNet. Of boxes of one class that overlap by more than the
    IoU threshold the best one stays.

    Attributes:
        feature_maps: Side of each square feature map, finest first.
        anchors: Which default boxes: TensorFlow's `multiple_grid` or MLPerf's `default_boxes`.
        outputs: Class and box maps in turn (`interleaved`), or all class maps first (`grouped`).
        channels: What comes first in the maps' channels, `anchor` or `class`; see `SSDLayout`.
        deltas: Order of a box map's coordinates.
        activation: What turns class outputs into scores: `sigmoid`, `softmax`, or `none` where
            the graph has done it.
        score_threshold: Least score of a detection.
        strict: Whether a score has to exceed the threshold rather than reach it.
        iou_threshold: Largest overlap of two detections of one class.
        max_per_class: How many candidates of a class, the best ones, go through suppression.
        max_detections: Most detections in a photo.
    """

    feature_maps: tuple[int, ...]
    anchors: BoxKind = "multiple_grid"
    outputs: OutputOrder = "interleaved"
    channels: ChannelOrder = "anchor"
    deltas: DeltaOrder = "yxhw"
    activation: Activation = "sigmoid"
    score_threshold: float = 0.3
    strict: bool = False
    iou_threshold: float = 0.6
    max_per_class: int | None = None
    max_detections: int | None = None

    def observed(self, done: frozenset[str]) -> dict[str, Any]:
        """Fields that a graph decides which ends in the operations `done`."""
        return {"activation": "none"} if done & {"Sigmoid", "Softmax"} else {}

    def decode(
        self,
        outputs: Outputs,
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Detections]:
        """Detections of each photo of a batch.

        Boxes may reach out of the photo, as in 0.10.

        Args:
            outputs: Class and box maps, finest first: (n, a*c, h, w) and (n, a*4, h, w) float32.
            contexts: What `preprocess` said of each photo.
            names: Table of labels.
            platform: Python (numpy) or Rust; the results are the same.
            score_threshold: In place of the head's own.
            iou_threshold: In place of the head's own.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
        """
        levels = len(self.feature_maps)
        check_count(outputs, 2 * levels)
        grouped = self.outputs == "grouped"
        batch = decode_ssd(
            outputs[:levels] if grouped else outputs[0::2],
            outputs[levels:] if grouped else outputs[1::2],
            self._anchors(),
            activation=self.activation,
            layout=SSDLayout(self.channels, self.deltas),
            score_threshold=or_default(score_threshold, self.score_threshold),
            strict=self.strict,
            iou_threshold=or_default(iou_threshold, self.iou_threshold),
            max_per_class=self.max_per_class,
            max_detections=self.max_detections,
            platform=platform,
        )
        check_contexts(contexts, len(batch))
        return [
            Detections(found.boxes * _size(context), found.scores, found.class_ids, names)
            for found, context in zip(batch, contexts, strict=True)
        ]

    def _anchors(self) -> Anchors:
        maps = tuple((side, side) for side in self.feature_maps)
        return (
            multiple_grid_anchors(maps) if self.anchors == "multiple_grid" else default_boxes(maps)
        )


def _size(context: ImageContext) -> Anchors:
    size = (context.width, context.height)
    return np.array([*size, *size], dtype=np.float32)
