"""Encodings of the result of a photo: JSON as in 0.10, JSON of `to_dict`, or a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from starlette.exceptions import HTTPException

from ..images.pipeline import Speed
from ..tasks.base import Result

__all__ = ["Answer", "Form", "as_in_0_10", "found_in_0_10", "picture", "plain", "to_json"]

_TRACK = "track_id"
"""A field of objects that 0.10 did not have."""
Form = Callable[[Any], bytes]
"""A function that encodes the result of a photo."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The encoded result of a photo.

    Attributes:
        data: JSON or a JPEG.
        speed: Time of each stage, if known.
    """

    data: bytes
    speed: Speed | None

    @classmethod
    def of(cls, result: Any, form: Form) -> Answer:
        """Encode a result."""
        speed = getattr(result, "speed", None)
        return cls(form(result), speed if isinstance(speed, Speed) else None)


def as_in_0_10(result: Any) -> Any:
    """Return the result of one photo as 0.10 does: a label, or a list with one list of objects."""
    found = found_in_0_10(result)
    return [found] if _is_found(result) else found


def found_in_0_10(result: Any) -> Any:
    """Return the entry of 0.10 for one of several photos: a label, or a list of objects."""
    if isinstance(result, str):
        return str(result)
    if not _is_found(result):
        return plain(result)
    rows = [asdict(item) for item in result]
    return [{key: value for key, value in row.items() if key != _TRACK} for row in rows]


def plain(result: Any) -> Any:
    """Convert a result to JSON types; a user's `postprocess` may have done so already."""
    return result.to_dict() if hasattr(result, "to_dict") else result


def to_json(value: Any) -> bytes:
    """Encode a value as JSON; a user's `postprocess` may return any type that FastAPI encodes."""
    from fastapi.encoders import jsonable_encoder

    compact: dict[str, Any] = {"allow_nan": False, "separators": (",", ":")}
    return json.dumps(value, ensure_ascii=False, default=jsonable_encoder, **compact).encode()


def picture(result: Any) -> bytes:
    """Return the annotated photo as a JPEG.

    Raises:
        HTTPException: The result is of a user's type, which cannot be drawn.
    """
    if not isinstance(result, Result):
        msg = f"results of type {type(result).__name__} cannot be drawn: use output=json"
        raise HTTPException(422, msg)
    return result.picture(".jpg")


def _is_found(result: Any) -> bool:
    """Return whether a result is a sequence of dataclasses, such as objects or people."""
    return (
        isinstance(result, Sequence)
        and getattr(result, "is_table", True)
        and not isinstance(result, str)
        and all(is_dataclass(item) for item in result)
    )
