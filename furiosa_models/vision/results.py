"""Results, under the import path of this package's first version; see `furiosa_models.tasks`."""

from __future__ import annotations

from ..tasks import (
    KEYPOINT_NAMES,
    ArrayResult,
    Classification,
    ClassScore,
    Detections,
    Keypoint,
    LtrbBoundingBox,
    ObjectDetectionResult,
    Photo,
    PoseEstimationResult,
    Poses,
    Result,
)

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
