"""Results: arrays inside, the result types of furiosa-models 0.10 outside."""

from __future__ import annotations

from .base import ArrayResult, Photo, Result
from .classification import Classification, ClassScore
from .detection import Detections
from .items import (
    KEYPOINT_NAMES,
    Keypoint,
    LtrbBoundingBox,
    ObjectDetectionResult,
    PoseEstimationResult,
)
from .pose import Poses

__all__ = [
    "KEYPOINT_NAMES",
    "ArrayResult",
    "ClassScore",
    "Classification",
    "Detections",
    "Keypoint",
    "LtrbBoundingBox",
    "ObjectDetectionResult",
    "Photo",
    "PoseEstimationResult",
    "Poses",
    "Result",
]
