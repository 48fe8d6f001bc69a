"""Placeholder heads of models without a specification; `fit` replaces them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..spec import GraphFacts, Head
from ..tasks.classification import CLASSIFICATION, ClassificationTask
from ..tasks.detection import DETECTION, DetectionTask
from ..tasks.instances import INSTANCES, InstanceTask
from ..tasks.matte import MATTE, MatteTask
from ..tasks.pose import POSE, PoseTask
from ..tasks.segmentation import SEMANTIC, SemanticTask

__all__ = [
    "AnyClassifier",
    "AnyDetector",
    "AnyInstances",
    "AnyMatte",
    "AnyPose",
    "AnySegmenter",
]


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


@dataclass(frozen=True, slots=True)
class AnySegmenter(Head):
    """Placeholder for the head of semantic segmentation, which depends on its graph."""

    task: ClassVar[SemanticTask] = SEMANTIC

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; see `recognize.semantic_head`."""
        from .recognize import semantic_head

        return semantic_head(graph)


@dataclass(frozen=True, slots=True)
class AnyMatte(Head):
    """Placeholder for the head of mattes, which depends on its graph."""

    task: ClassVar[MatteTask] = MATTE

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; see `recognize.matte_head`."""
        from .recognize import matte_head

        return matte_head(graph)


@dataclass(frozen=True, slots=True)
class AnyInstances(Head):
    """Placeholder for the head of instance segmentation, which depends on its graph."""

    task: ClassVar[InstanceTask] = INSTANCES

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph; see `recognize.instance_head`."""
        from .recognize import instance_head

        return instance_head(graph)
