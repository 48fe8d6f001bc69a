"""Lookup of named options, with a helpful error for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from ..errors import FuriosaModelsError, ModelNotFound

__all__ = ["choose"]

_T = TypeVar("_T")


def choose(
    options: Mapping[str, _T],
    name: str,
    what: str,
    error: type[FuriosaModelsError] = ModelNotFound,
) -> _T:
    """Return `options[name]`, or raise an error that lists close names and all names.

    Args:
        options: Values by name.
        name: Name to look up.
        what: Kind of the options, for the error message.
        error: Type of the error.

    Raises:
        FuriosaModelsError: The name is unknown; its type is `error`.
    """
    if name in options:
        return options[name]
    close = difflib.get_close_matches(name, options, n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    msg = f"unknown {what} {name!r}.{hint} Known: {', '.join(sorted(options))}."
    raise error(msg)
