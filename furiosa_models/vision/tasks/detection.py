"""Object detection."""

from __future__ import annotations

from typing import ClassVar

from ...enums import ModelTaskType
from ...heads import SSDHead, YOLOv5Head
from ...tasks import Detections
from .finding import FindingModel

__all__ = ["ObjectDetectionModel"]


class ObjectDetectionModel(FindingModel[Detections]):
    """A model that finds objects."""

    task_type = ModelTaskType.OBJECT_DETECTION

    head: ClassVar[SSDHead | YOLOv5Head]
