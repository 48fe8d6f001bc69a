"""Models by task, under the import path of the first version; see `furiosa_models.task_models`."""

from __future__ import annotations

from ..model import Model as ImageModel
from ..task_models import Classifier as ImageClassificationModel
from ..task_models import Detector as ObjectDetectionModel
from ..task_models import PoseEstimator as PoseEstimationModel
from ..zoo.yolov5 import YOLOv5Model

__all__ = [
    "ImageClassificationModel",
    "ImageModel",
    "ObjectDetectionModel",
    "PoseEstimationModel",
    "YOLOv5Model",
]
