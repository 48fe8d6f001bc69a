"""What a model says of itself, as frozen dataclasses; public in `furiosa_models.types`."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any, ClassVar, Literal, TypeVar, cast

from .enums import Format, ModelTaskType

__all__ = ["Metadata", "ModelInfo", "Publication", "Record", "Tags"]

_Self = TypeVar("_Self", bound="Record")


class Record:
    """Base of frozen dataclasses that dump themselves as pydantic models do.

    A field that a record does not have is a `TypeError`.
    """

    # What pydantic reads where such a record is a field of a model of its own.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
        exclude_defaults: bool = False,
    ) -> dict[str, Any]:
        """Return the fields as a dictionary.

        Args:
            mode: `"json"` for values that JSON has: dates and enumerations become strings.
            include: Names of the only fields to take.
            exclude: Names of fields to leave out.
            exclude_none: Leave out fields that are None.
            exclude_defaults: Leave out fields that have their default.
        """

        def plain(value: Any) -> Any:
            if isinstance(value, Record):
                return value.model_dump(
                    mode=mode, exclude_none=exclude_none, exclude_defaults=exclude_defaults
                )
            if mode == "json" and isinstance(value, datetime.date):
                return value.isoformat()
            if mode == "json" and isinstance(value, Enum):
                return value.value
            return list(value) if isinstance(value, list) else value

        found = {}
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, field.name)
            is_default = field.default is not MISSING and value == field.default
            if not (
                (include is not None and field.name not in include)
                or (exclude is not None and field.name in exclude)
                or (exclude_none and value is None)
                or (exclude_defaults and is_default)
            ):
                found[field.name] = plain(value)
        return found

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return the fields as JSON.

        Args:
            indent: Spaces for each level; one line by default.
            options: As for `model_dump`.
        """
        separators = (",", ":") if indent is None else None
        values = self.model_dump(mode="json", **options)
        return json.dumps(values, indent=indent, separators=separators, ensure_ascii=False)

    @classmethod
    def model_validate(cls: type[_Self], values: _Self | Mapping[str, Any]) -> _Self:
        """Return the record of a dictionary of its fields; a record is returned as it is.

        Raises:
            TypeError: A field is unknown, missing, or of another type.
            ValueError: The value of a field has no meaning.
        """
        return values if isinstance(values, cls) else cls(**dict(cast("Mapping[str, Any]", values)))


@dataclass(frozen=True)
class Publication(Record):
    """Where a network was published.

    Attributes:
        authors: Names of the authors.
        title: Title of the paper or page.
        publisher: Who published it.
        date: Date of publication; a string in ISO form becomes one.
        url: Where it can be read.
    """

    authors: list[str] | None = None
    title: str | None = None
    publisher: str | None = None
    date: datetime.date | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        date: object = self.date
        if isinstance(date, str):
            object.__setattr__(self, "date", datetime.date.fromisoformat(date))
        _check("date", self.date, datetime.date)
        for name in ("title", "publisher", "url"):
            _check(name, getattr(self, name), str)
        if self.authors is not None:
            object.__setattr__(self, "authors", list(self.authors))
            for author in self.authors:
                _check("authors", author, str)


@dataclass(frozen=True)
class Metadata(Record):
    """What a model is, in words.

    Attributes:
        description: One line.
        publication: Where the network was published; a dictionary becomes one.
    """

    description: str | None = None
    publication: Publication | None = None

    def __post_init__(self) -> None:
        _check("description", self.description, str)
        publication: object = self.publication
        if isinstance(publication, Mapping):
            object.__setattr__(self, "publication", Publication.model_validate(publication))
        _check("publication", self.publication, Publication)


@dataclass(frozen=True)
class Tags(Record):
    """Tags of a model.

    Attributes:
        content_type: Kind of what the model takes.
    """

    content_type: str | None = None

    def __post_init__(self) -> None:
        _check("content_type", self.content_type, str)


@dataclass(frozen=True)
class ModelInfo(Record):
    """What a model's `model_dump` gives: its metadata, and none of its artifacts."""

    name: str
    task_type: ModelTaskType
    format: Format
    family: str | None
    version: str | None
    metadata: Metadata | None
    tags: Tags | None


def _check(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        msg = f"{name} must be {kind.__name__} or None, got {value!r}"
        raise TypeError(msg)
