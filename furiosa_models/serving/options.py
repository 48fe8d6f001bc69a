"""Options of `predict` as query parameters: named, typed and described by its signature."""

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
"""Options of every task that a request may choose; the others are for the server, or for arrays."""

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
)


class _Option(NamedTuple):
    """An option of a model.

    Attributes:
        kind: Type of its value, of those that a query can hold; None is any of them.
        default: Its value where it is not given.
        description: What it is.
    """

    kind: type | None
    default: Any
    description: str

    @property
    def word(self) -> str:
        """Name of the type in JSON."""
        return dict(_KINDS)[self.kind] if self.kind else "string"


class QueryOptions:
    """The query parameters of a model's routes.

    Args:
        model: The model.
    """

    def __init__(self, model: Model[Any]) -> None:
        task = model.vision_task
        self._options = {name: _option(model, name) for name in (*task.options, *_PHOTO_OPTIONS)}
        self._aliases = task.aliases

    def read(self, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Return the options of a request, as `predict` takes them.

        Args:
            query: Names and values of the query parameters.

        Raises:
            HTTPException: The model has no such option, its value is of another type, or it is
                given twice.
        """
        values: dict[str, Any] = {}
        for name, text in query:
            full = self._aliases.get(name, name)
            if full not in self._options:
                known = ", ".join(self._options)
                msg = f"unknown query parameter {name!r}: the parameters are {known}"
                raise HTTPException(422, msg)
            if full in values:
                raise HTTPException(422, f"query parameter {full!r} is given twice")
            values[full] = _value(name, text, self._options[full])
        return values

    def described(self) -> list[dict[str, Any]]:
        """Return the parameters as OpenAPI describes them."""
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
    """The value that a text stands for."""
    if option.kind is None:
        return _number(text)
    try:
        return TypeAdapter(option.kind).validate_python(text)
    except ValidationError:
        msg = f"query parameter {name}={text[:100]!r} is wrong: expected a value of type "
        raise HTTPException(422, msg + option.word) from None


def _number(text: str) -> Any:
    """A number or truth value in JSON's form, or else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float)) else text


def _option(model: Model[Any], name: str) -> _Option:
    """An option by the first signature that names it."""
    about = _about(name, type(model).predict, type(model).postprocess, Model.predict)
    for function in (type(model).predict, type(model).postprocess, Model.steps):
        parameter = inspect.signature(function).parameters.get(name)
        if parameter is not None:
            default = None if parameter.default is parameter.empty else parameter.default
            kind = _kind(parameter.annotation, function.__globals__)
            return _Option(kind, default, about)
    return _Option(None, None, about)


def _kind(annotation: Any, names: Mapping[str, Any]) -> type | None:
    """The type that a query can hold of those that an annotation, or an alias in it, names."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    parts = [part.strip() for part in re.sub(r"\[[^\[\]]*\]", "", text).split("|")]
    if found := [kind for kind, _ in _KINDS if kind.__name__ in parts]:
        return found[0]
    aliases = (names.get(part) for part in parts)
    kinds = (_kind(alias, names) for alias in aliases if isinstance(alias, str))
    return next(kinds, None)


def _about(name: str, *functions: Any) -> str:
    """What the first docstring that explains an argument says of it, in one line."""
    for function in functions:
        doc = inspect.getdoc(function) or ""
        found = re.search(rf"^ +(?:- )?{name}: (.+(?:\n {{8,}}(?!- ).+)*)", doc, re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return ""
