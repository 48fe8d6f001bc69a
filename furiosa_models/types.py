"""Vocabulary of the package: enumerations and metadata."""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from .enums import Format, ModelTaskType, Platform

if TYPE_CHECKING:
    from .model import Model
    from .spec import Metadata, ModelInfo, Publication, Tags
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
    "described",
]

# Built on top of this module (0.10 has the models' classes here), or slow to import.
_ELSEWHERE = {
    "ImageClassificationModel": ".vision.tasks",
    "Metadata": ".spec",
    "Model": ".model",
    "ModelInfo": ".spec",
    "ObjectDetectionModel": ".vision.tasks",
    "PoseEstimationModel": ".vision.tasks",
    "Publication": ".spec",
    "Tags": ".spec",
}


def __getattr__(name: str) -> object:
    if name not in _ELSEWHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_ELSEWHERE[name], __package__), name)


class _Described:
    """`Metadata` that is built when it is read: its import takes a while."""

    def __init__(self, description: str, publication: dict[str, Any]) -> None:
        self._facts = {"description": description, "publication": publication or None}

    def __get__(self, model: object, owner: type) -> Metadata:
        return self._built

    @cached_property
    def _built(self) -> Metadata:
        from .spec import Metadata

        return Metadata.model_validate(self._facts)


def described(description: str, **publication: Any) -> Metadata:
    """`Metadata` for the body of a model's class, built when it is first read.

    Args:
        description: What the model is.
        publication: Fields of `Publication`.
    """
    return cast("Metadata", _Described(description, publication))
