"""Pose estimation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...conventions import specialised
from ...types import ModelTaskType
from ..heads import PoseHead
from ..images import Color, read_image
from ..preprocess import ImageContext, as_context
from ..results import Poses
from .base import ImageModel, Outputs, Photos, as_list
from .thresholds import renamed

__all__ = ["PoseEstimationModel"]


class PoseEstimationModel(ImageModel[Poses]):
    """A model that finds people and their joints."""

    task_type = ModelTaskType.POSE_ESTIMATION

    head: ClassVar[PoseHead]

    def preprocess(
        self, images: Photos, with_scaling: bool = False, *, color: Color = "bgr"
    ) -> tuple[npt.NDArray[Any], list[ImageContext]]:
        """Photos as the network's input; see `ObjectDetectionModel.preprocess`."""
        return self._preprocess(images, color, with_scaling=with_scaling)

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        **aliases: float | None,
    ) -> list[Poses]:
        """People in each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            score_threshold: Score that a person exceeds; the model's by default.
            iou_threshold: Largest overlap of two people.
            aliases: The names of 0.10: `confidence_threshold`, `conf_thres`, `iou_thres`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
            TypeError: An unknown argument, or one given under two names.
        """
        given = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        options = renamed(given, aliases)
        return self._decode(as_list(model_outputs), [as_context(c) for c in contexts], options)

    def visualize(self, image: npt.NDArray[np.uint8], results: Poses) -> None:
        """Draw people into a photo, in place, as in 0.10.

        Args:
            image: (h, w, 3) uint8 BGR.
            results: The people of that photo.
        """
        drawn = np.asarray(results.plot(read_image(image)))
        image[:] = drawn[:, :, ::-1]

    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Poses]:
        return specialised(self.head, self._conventions.head).decode(
            outputs,
            contexts,
            self._names(),
            self.platform,
            score_threshold=options["score_threshold"],
            iou_threshold=options["iou_threshold"],
        )
