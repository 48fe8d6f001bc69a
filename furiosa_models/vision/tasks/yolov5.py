"""YOLOv5: object detection with classes and anchors of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from ...conventions import specialised
from ...enums import Platform
from ...heads import YOLOv5Head
from ...images.preprocess import ImageContext, as_context
from ...tasks import Detections
from ...weights import WeightsSource
from .base import Outputs, as_list
from .detection import ObjectDetectionModel
from .finding import renamed

__all__ = ["YOLOv5Model"]


class YOLOv5Model(ObjectDetectionModel):
    """A YOLOv5 of any size."""

    head: ClassVar[YOLOv5Head] = YOLOv5Head()

    def __init__(
        self,
        *,
        postprocessor_type: str | Platform = Platform.RUST,
        weights: WeightsSource = None,
        classes: Sequence[str] | None = None,
        anchors: npt.ArrayLike | None = None,
    ) -> None:
        """Make a model; nothing is fetched.

        Args:
            postprocessor_type: See `Model`.
            weights: See `Model`.
            classes: Names of the classes, in place of those of the weights.
            anchors: (levels, a, 2): width and height of each anchor in cells of its level, in
                place of those of the weights.

        Raises:
            ValueError: There is no such platform.
        """
        super().__init__(postprocessor_type=postprocessor_type, weights=weights)
        self._classes = None if classes is None else tuple(classes)
        self._anchors = anchors
        self._options |= {"classes": self._classes, "anchors": anchors}

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        with_sigmoid: bool | None = None,
        **aliases: Any,
    ) -> list[Detections]:
        """Detections of each photo; see `FindingModel.postprocess`.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            score_threshold: Score that a detection exceeds; the model's by default.
            iou_threshold: Largest overlap of two detections of one class.
            with_sigmoid: Take the sigmoid of the outputs; by default where the graph has not.
            aliases: The names of 0.10.
        """
        given = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        return self._own_head().decode(
            as_list(model_outputs),
            [as_context(context) for context in contexts],
            self._names(),
            self.platform,
            with_sigmoid=with_sigmoid,
            **renamed(given, aliases),
        )

    def _own_head(self) -> YOLOv5Head:
        head = specialised(self.head, self._conventions.head)
        return head if self._anchors is None else specialised(head, {"anchors": self._anchors})

    def _names(self) -> tuple[str, ...]:
        return super()._names() if self._classes is None else self._classes
