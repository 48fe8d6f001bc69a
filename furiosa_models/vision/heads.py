"""Heads: from a network's raw outputs to results in pixels of the photo.

A head is data (a frozen dataclass that a model declares) with one method, `decode`. It has no
state, so one head serves any number of photos, batches and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..types import Platform
from .anchors import multiple_grid_anchors
from .classification import top_k
from .preprocess import ImageContext
from .results import Classification, Detections
from .ssd import decode_ssd

__all__ = ["ClassificationHead", "SSDHead"]

_Outputs = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SSDHead:
    """Single Shot MultiBox Detector (Liu et al. 2016, arXiv:1512.02325).

    A detection's score is at least the score threshold; of boxes of one class that overlap by
    more than the IoU threshold the best one stays.

    Attributes:
        feature_maps: Side of each square feature map, finest first.
        activation: What turns class outputs into scores: `sigmoid`, `softmax`, or `none` where
            the graph has done it.
        score_threshold: Least score of a detection.
        iou_threshold: Largest overlap of two detections of one class.
    """

    feature_maps: tuple[int, ...]
    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    score_threshold: float = 0.3
    iou_threshold: float = 0.6

    def decode(
        self,
        outputs: _Outputs,
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Detections]:
        """Detections of each photo of a batch.

        Args:
            outputs: Class and box maps in turn, finest first: (n, a*c, h, w) and (n, a*4, h, w)
                float32.
            contexts: What `preprocess` said of each photo.
            names: Table of labels.
            platform: Python (numpy) or Rust; the results are the same.
            score_threshold: In place of the head's own.
            iou_threshold: In place of the head's own.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
        """
        if len(outputs) != 2 * len(self.feature_maps):
            msg = f"expected {2 * len(self.feature_maps)} outputs, got {len(outputs)}"
            raise ShapeError(msg)
        batch = decode_ssd(
            outputs[0::2],
            outputs[1::2],
            multiple_grid_anchors(tuple((side, side) for side in self.feature_maps)),
            activation=self.activation,
            score_threshold=_default(score_threshold, self.score_threshold),
            iou_threshold=_default(iou_threshold, self.iou_threshold),
            platform=platform,
        )
        _check_contexts(contexts, len(batch))
        return [
            Detections(found.boxes * _size(context), found.scores, found.class_ids, names)
            for found, context in zip(batch, contexts, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class ClassificationHead:
    """Top-k of a distribution over classes.

    Attributes:
        activation: What turns outputs into probabilities: `softmax`, or `none` where the graph
            has done it, or `argmax` where the graph gives a class index.
        offset: Index of the first class in the table of labels; checkpoints with a background
            class in front have 1.
    """

    activation: Literal["softmax", "none", "argmax"] = "softmax"
    offset: int = 0

    def decode(
        self, outputs: _Outputs, names: Sequence[str], platform: Platform, *, k: int
    ) -> list[Classification]:
        """Classes of each photo of a batch.

        Args:
            outputs: One output: (n, c) float32, or (n,) integers of an `argmax` graph.
            names: Table of labels.
            platform: Python (numpy) or Rust; the results are the same.
            k: Number of classes to keep.

        Raises:
            ShapeError: Outputs of the wrong count, shape or dtype.
        """
        if len(outputs) != 1:
            msg = f"expected 1 output, got {len(outputs)}"
            raise ShapeError(msg)
        batch = top_k(outputs[0], k, activation=self.activation, platform=platform)
        return [self._named(found.class_ids, found.scores, names) for found in batch]

    def _named(
        self,
        indices: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        names: Sequence[str],
    ) -> Classification:
        class_ids = indices - self.offset
        known = (class_ids >= 0) & (class_ids < len(names))
        if not known.any():
            msg = f"class index {indices.tolist()} is outside the table of {len(names)} labels"
            raise ShapeError(msg)
        class_ids = class_ids[known]
        return Classification(class_ids, scores[known], [names[i] for i in class_ids.tolist()])


def _default(value: float | None, default: float) -> float:
    return default if value is None else value


def _check_contexts(contexts: Sequence[ImageContext], batch: int) -> None:
    if len(contexts) != batch:
        msg = f"expected {batch} contexts, one for each photo of the batch, got {len(contexts)}"
        raise ShapeError(msg)


def _size(context: ImageContext) -> npt.NDArray[np.float32]:
    size = (context.width, context.height)
    return np.array([*size, *size], dtype=np.float32)
