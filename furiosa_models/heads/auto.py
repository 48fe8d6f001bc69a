"""Placeholder heads of models without a specification; `fit` replaces them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..spec import GraphFacts, Head
from ..tasks.classification import CLASSIFICATION, ClassificationTask
from ..tasks.detection import DETECTION, DetectionTask
from ..tasks.pose import POSE, PoseTask

__all__ = ["AnyClassifier", "AnyDetector", "AnyPose"]


@dataclass(frozen=True, slots=True)
class AnyDetector(Head):
    """Placeholder for the head of a detector, which depends on its graph."""

    task: ClassVar[DetectionTask] = DETECTION

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; see `recognize.detector_head`."""
        from .recognize import detector_head

        return detector_head(graph)


@dataclass(frozen=True, slots=True)
class AnyClassifier(Head):
    """Placeholder for the head of a classifier, which depends on its graph."""

    task: ClassVar[ClassificationTask] = CLASSIFICATION

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; see `ClassificationHead.fit`."""
        from .classification import ClassificationHead

        return ClassificationHead().fit(graph)


@dataclass(frozen=True, slots=True)
class AnyPose(Head):
    """Placeholder for the head of a pose estimator, which depends on its graph."""

    task: ClassVar[PoseTask] = POSE

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; see `recognize.pose_head`."""
        from .recognize import pose_head

        return pose_head(graph)
