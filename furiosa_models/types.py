"""Import path of types in furiosa-models 0.10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy
from .enums import Format, ModelTaskType, Platform
from .processors import (
    Context,
    PostProcessor,
    PreProcessor,
    PythonPostProcessor,
    RustPostProcessor,
)
from .spec import Metadata, ModelTensor, Publication, Tags

if TYPE_CHECKING:
    from .model import Model
    from .task_models import Classifier as ImageClassificationModel
    from .task_models import Detector as ObjectDetectionModel
    from .task_models import PoseEstimator as PoseEstimationModel

__all__ = [
    "Context",
    "Format",
    "ImageClassificationModel",
    "Metadata",
    "Model",
    "ModelTaskType",
    "ModelTensor",
    "ObjectDetectionModel",
    "Platform",
    "PoseEstimationModel",
    "PostProcessor",
    "PreProcessor",
    "Publication",
    "PythonPostProcessor",
    "RustPostProcessor",
    "Tags",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "model": "Model",
        "task_models": {
            "ImageClassificationModel": "Classifier",
            "ObjectDetectionModel": "Detector",
            "PoseEstimationModel": "PoseEstimator",
        },
    },
)
