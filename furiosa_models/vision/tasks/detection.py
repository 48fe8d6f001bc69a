"""Object detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from ...conventions import specialised
from ...types import ModelTaskType
from ..heads import SSDHead, YOLOv5Head
from ..images import Color
from ..preprocess import ImageContext, as_context
from ..results import Detections
from .base import ImageModel, Outputs, Photos, as_list
from .thresholds import renamed

__all__ = ["ObjectDetectionModel"]


class ObjectDetectionModel(ImageModel[Detections]):
    """A model that finds objects."""

    task_type = ModelTaskType.OBJECT_DETECTION

    head: ClassVar[SSDHead | YOLOv5Head]

    def preprocess(
        self, images: Photos, with_scaling: bool = False, *, color: Color = "bgr"
    ) -> tuple[npt.NDArray[Any], list[ImageContext]]:
        """Photos as the network's input.

        Args:
            images: A photo, or a sequence, folder or glob of them.
            with_scaling: Give the scaled float32 that `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and what `postprocess` has to know
            of each photo.

        Raises:
            ImageError: A photo cannot be read.
        """
        return self._preprocess(images, color, with_scaling=with_scaling)

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        **aliases: float | None,
    ) -> list[Detections]:
        """Detections of each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            score_threshold: Least score, between 0 and 1; the model's by default.
            iou_threshold: Largest overlap of two detections of one class.
            aliases: The names of 0.10: `confidence_threshold`, `conf_thres`, `iou_thres`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
            TypeError: An unknown argument, or one given under two names.
        """
        given = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        options = renamed(given, aliases)
        return self._decode(as_list(model_outputs), [as_context(c) for c in contexts], options)

    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Detections]:
        return self._head().decode(
            outputs,
            contexts,
            self._names(),
            self.platform,
            score_threshold=options["score_threshold"],
            iou_threshold=options["iou_threshold"],
        )

    def _head(self) -> SSDHead | YOLOv5Head:
        return specialised(self.head, self._conventions.head)
