"""Options of `predict` as query parameters, with types and descriptions from its signature."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from ..model import Model

__all__ = ["QueryOptions"]

_PHOTO_OPTIONS = ("draft", "background")
"""Options of all tasks that requests may set; the others are for the server or for arrays."""

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
)


class _Option(NamedTuple):
    """An option of a model.

    Attributes:
        kind: Type of the value, one that a query can express; None means any of these.
        default: Default value.
        description: Description from the docstring.
    """

    kind: type | None
    default: Any
    description: str

    @property
    def word(self) -> str:
        """Name of the type in JSON schemas."""
        return dict(_KINDS)[self.kind] if self.kind else "string"


class QueryOptions:
    """The query parameters of a model's routes.

    Args:
        model: Model whose options they are.
    """

    def __init__(self, model: Model[Any]) -> None:
        task = model.vision_task
        self._options = {name: _option(model, name) for name in (*task.options, *_PHOTO_OPTIONS)}
        self._aliases = task.aliases

    def read(self, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Return the options of a request as keyword arguments of `predict`.

        Args:
            query: Names and values of the query parameters.

        Raises:
            HTTPException: A parameter is unknown, has an invalid value or occurs twice.
        """
        values: dict[str, Any] = {}
        for name, text in query:
            full = self._aliases.get(name, name)
            if full not in self._options:
                known = ", ".join(self._options)
                msg = f"unknown query parameter {name!r}; known: {known}"
                raise HTTPException(422, msg)
            if full in values:
                raise HTTPException(422, f"query parameter {full!r} occurs twice")
            values[full] = _value(name, text, self._options[full])
        return values

    def described(self) -> list[dict[str, Any]]:
        """Return the OpenAPI descriptions of the parameters."""
        return [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": option.description,
                "schema": {"type": option.word}
                | ({} if option.default is None else {"default": option.default}),
            }
            for name, option in self._options.items()
        ]


def _value(name: str, text: str, option: _Option) -> Any:
    """Parse the value of a parameter."""
    if option.kind is None:
        return _number(text)
    try:
        return TypeAdapter(option.kind).validate_python(text)
    except ValidationError:
        msg = f"invalid query parameter {name}={text[:100]!r}: expected a value of type "
        raise HTTPException(422, msg + option.word) from None


def _number(text: str) -> Any:
    """Parse a number or boolean in JSON's form; return other text as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float)) else text


def _option(model: Model[Any], name: str) -> _Option:
    """Describe an option by the first signature that has it."""
    about = _about(name, type(model).predict, type(model).postprocess, Model.predict)
    for function in (type(model).predict, type(model).postprocess, Model.steps):
        parameter = inspect.signature(function).parameters.get(name)
        if parameter is not None:
            default = None if parameter.default is parameter.empty else parameter.default
            kind = _kind(parameter.annotation, function.__globals__)
            return _Option(kind, default, about)
    return _Option(None, None, about)


def _kind(annotation: Any, names: Mapping[str, Any]) -> type | None:
    """Return the first type in an annotation, or in an alias in it, that a query can express."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    parts = [part.strip() for part in re.sub(r"\[[^\[\]]*\]", "", text).split("|")]
    if found := [kind for kind, _ in _KINDS if kind.__name__ in parts]:
        return found[0]
    aliases = (names.get(part) for part in parts)
    kinds = (_kind(alias, names) for alias in aliases if isinstance(alias, str))
    return next(kinds, None)


def _about(name: str, *functions: Any) -> str:
    """Return the description of an argument from the first docstring that has one, as one line."""
    for function in functions:
        doc = inspect.getdoc(function) or ""
        found = re.search(rf"^ +(?:- )?{name}: (.+(?:\n {{8,}}(?!- ).+)*)", doc, re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return ""
