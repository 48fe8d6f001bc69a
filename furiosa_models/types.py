"""Vocabulary of the package: enumerations and metadata."""

from __future__ import annotations

import datetime
from enum import Enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from .model import Model
    from .vision.tasks import (
        ImageClassificationModel,
        ObjectDetectionModel,
        PoseEstimationModel,
    )

__all__ = [
    "Format",
    "ImageClassificationModel",
    "Metadata",
    "Model",
    "ModelInfo",
    "ModelTaskType",
    "ObjectDetectionModel",
    "Platform",
    "PoseEstimationModel",
    "Publication",
    "Tags",
]


def __getattr__(name: str) -> object:
    # 0.10 has the model classes here; they are built on top of this module.
    if name == "Model":
        from .model import Model

        return Model
    if name in ("ImageClassificationModel", "ObjectDetectionModel", "PoseEstimationModel"):
        from .vision import tasks

        return getattr(tasks, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


class Platform(str, Enum):
    """What a pre- or postprocessor is written in."""

    PYTHON = "PYTHON"
    C = "C"
    CPP = "CPP"
    RUST = "RUST"

    @classmethod
    def _missing_(cls, value: object) -> Platform | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class ModelTaskType(str, Enum):
    """What a model is for."""

    OBJECT_DETECTION = "OBJECT_DETECTION"
    IMAGE_CLASSIFICATION = "IMAGE_CLASSIFICATION"
    POSE_ESTIMATION = "POSE_ESTIMATION"


class Format(str, Enum):
    """Format of a model's binary."""

    ONNX = "ONNX"
    TFLite = "TFLITE"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Publication(_Record):
    """Where a network was published."""

    authors: list[str] | None = None
    title: str | None = None
    publisher: str | None = None
    date: datetime.date | None = None
    url: str | None = None


class Metadata(_Record):
    """What a model is, in words."""

    description: str | None = None
    publication: Publication | None = None


class Tags(_Record):
    """Tags of a model."""

    content_type: str | None = None


class ModelInfo(_Record):
    """What a model's `model_dump` gives: its metadata, and none of its artifacts."""

    name: str
    task_type: ModelTaskType
    format: Format
    family: str | None
    version: str | None
    metadata: Metadata | None
    tags: Tags | None
