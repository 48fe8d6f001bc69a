"""What a model does with photos, task by task."""

from .base import ImageModel
from .classification import ImageClassificationModel
from .detection import ObjectDetectionModel

__all__ = ["ImageClassificationModel", "ImageModel", "ObjectDetectionModel"]
