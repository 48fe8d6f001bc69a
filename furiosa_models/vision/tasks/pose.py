"""Pose estimation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...enums import ModelTaskType
from ...heads import PoseHead
from ...images.read import read_image
from ...tasks import Poses
from .finding import FindingModel

__all__ = ["PoseEstimationModel"]


class PoseEstimationModel(FindingModel[Poses]):
    """A model that finds people and their joints."""

    task_type = ModelTaskType.POSE_ESTIMATION

    head: ClassVar[PoseHead]

    def visualize(self, image: npt.NDArray[np.uint8], results: Poses) -> None:
        """Draw people into a photo, in place, as in 0.10.

        Args:
            image: (h, w, 3) uint8 BGR.
            results: The people of that photo.
        """
        drawn = np.asarray(results.plot(read_image(image)))
        image[:] = drawn[:, :, ::-1]
