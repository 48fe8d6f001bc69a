"""Results of each task: they hold arrays, and yield items with the types of furiosa-models 0.10."""

from __future__ import annotations

from .base import ArrayResult, Photo, Result
from .classification import Classification, ClassScore
from .detection import Detections, LtrbBoundingBox, ObjectDetectionResult
from .instances import Instance, Instances
from .matte import Matte
from .pose import KEYPOINT_NAMES, Keypoint, PoseEstimationResult, Poses
from .segmentation import ClassRegion, SemanticMap

__all__ = [
    "KEYPOINT_NAMES",
    "ArrayResult",
    "ClassRegion",
    "ClassScore",
    "Classification",
    "Detections",
    "Instance",
    "Instances",
    "Keypoint",
    "LtrbBoundingBox",
    "Matte",
    "ObjectDetectionResult",
    "Photo",
    "PoseEstimationResult",
    "Poses",
    "Result",
    "SemanticMap",
]
