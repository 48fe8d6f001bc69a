"""What results are made of: the types of furiosa-models 0.10."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

__all__ = [
    "KEYPOINT_NAMES",
    "Keypoint",
    "LtrbBoundingBox",
    "ObjectDetectionResult",
    "PoseEstimationResult",
]


@dataclass(slots=True)
class LtrbBoundingBox:
    """A box by its left, top, right and bottom edges, in pixels of the photo."""

    left: float
    top: float
    right: float
    bottom: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.left, self.top, self.right, self.bottom))


@dataclass(slots=True)
class ObjectDetectionResult:
    """One detected object.

    Attributes:
        boundingbox: Where it is, in pixels of the photo.
        score: Confidence, between 0 and 1.
        label: Name of its class.
        index: Class id, an index into the table of labels.
    """

    boundingbox: LtrbBoundingBox
    score: float
    label: str
    index: int


@dataclass(slots=True)
class Keypoint:
    """A joint, or a part of the face, in pixels of the photo.

    Attributes:
        x: From the left edge.
        y: From the upper edge.
        confidence: That it is visible and there, between 0 and 1.
    """

    x: float
    y: float
    confidence: float


@dataclass(slots=True)
class PoseEstimationResult:
    """One person: the 17 keypoints of COCO. Left and right are the person's own.

    Attributes:
        bounding_box: Left, top, right and bottom, in pixels of the photo.
        confidence: That somebody is there, between 0 and 1.
    """

    bounding_box: list[float]
    confidence: float
    nose: Keypoint
    left_eye: Keypoint
    right_eye: Keypoint
    left_ear: Keypoint
    right_ear: Keypoint
    left_shoulder: Keypoint
    right_shoulder: Keypoint
    left_elbow: Keypoint
    right_elbow: Keypoint
    left_wrist: Keypoint
    right_wrist: Keypoint
    left_hip: Keypoint
    right_hip: Keypoint
    left_knee: Keypoint
    right_knee: Keypoint
    left_ankle: Keypoint
    right_ankle: Keypoint


KEYPOINT_NAMES = tuple(field.name for field in fields(PoseEstimationResult))[2:]
"""Names of the keypoints, in COCO's order."""
