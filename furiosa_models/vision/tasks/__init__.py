"""What a model does with photos, task by task."""

from .base import ImageModel
from .classification import ImageClassificationModel
from .detection import ObjectDetectionModel
from .pose import PoseEstimationModel
from .yolov5 import YOLOv5Model

__all__ = [
    "ImageClassificationModel",
    "ImageModel",
    "ObjectDetectionModel",
    "PoseEstimationModel",
    "YOLOv5Model",
]
