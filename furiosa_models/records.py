"""What a model says of itself, as pydantic models; public in `furiosa_models.types`.

They are apart from the enumerations because pydantic takes as long to import as numpy does, and
neither a prediction nor `furiosa-models list` needs it.
"""

from __future__ import annotations

import datetime

from pydantic import BaseModel, ConfigDict

from .enums import Format, ModelTaskType

__all__ = ["Metadata", "ModelInfo", "Publication", "Tags"]


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
