"""Heads of models without a specification: each becomes the one that its graph needs."""

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
    """Stands for the head that a detector's graph turns out to need."""

    task: ClassVar[DetectionTask] = DETECTION

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head that reads the outputs of a graph; see `recognize.detector_head`."""
        from .recognize import detector_head

        return detector_head(graph)


@dataclass(frozen=True, slots=True)
class AnyClassifier(Head):
    """Stands for the head of a classifier."""

    task: ClassVar[ClassificationTask] = CLASSIFICATION

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head of a classifier; see `ClassificationHead.fit`."""
        from .classification import ClassificationHead

        return ClassificationHead().fit(graph)


@dataclass(frozen=True, slots=True)
class AnyPose(Head):
    """Stands for the head that a pose estimator's graph turns out to need."""

    task: ClassVar[PoseTask] = POSE

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head that reads the outputs of a graph; see `recognize.pose_head`."""
        from .recognize import pose_head

        return pose_head(graph)
