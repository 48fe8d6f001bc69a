"""Head of detectors with queries instead of anchors: DETR, RT-DETR, D-FINE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..spec import ClassChannels, TensorFacts
from .boxes import BoxesHead

__all__ = ["DFineHead", "QueryHead"]


@dataclass(frozen=True, slots=True)
class QueryHead(BoxesHead):
    """Head of detectors whose queries are each a box with a score for every class, without NMS.

    It decodes as `BoxesHead` does, and has other defaults: the first output has logits of the
    classes, the second one centers and sizes of boxes as fractions of the input, and a box is a
    detection for every class above the threshold. Training matches queries to objects, which is
    why this is a type of its own.

    Attributes:
        boxes: See `BoxesHead`, as for all attributes.
        scores: Index of the output with the scores.
        unit: Unit of the boxes.
        activation: Activation to apply to the scores.
        multi_label: Whether a box is a detection for every class above the threshold.
        suppress: Whether to apply NMS.
        score_threshold: Score threshold in 0..1.
        max_candidates: Not used without NMS.
    """

    boxes: int = 1
    scores: int | None = 0
    unit: Literal["pixels", "fraction", "auto"] = "fraction"
    activation: Literal["none", "sigmoid", "softmax"] = "sigmoid"
    multi_label: bool = True
    suppress: bool = False
    score_threshold: float = 0.5
    max_candidates: int | None = None

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels are arranged; see `Head.class_channels`."""
        own = ClassChannels(
            background=int(self.background == "first"), after=int(self.background == "last")
        )
        return [own if index == self.scores else None for index in range(len(outputs))]


@dataclass(frozen=True, slots=True)
class DFineHead(QueryHead):
    """Head of D-FINE, whose boxes are means of distributions of their edges.

    The network that runs has decoded boxes, which it reads as `QueryHead` does. Training learns the
    distributions, too.
    """
