"""Choosing one of a few named things, with an error that helps."""

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
    """Return `options[name]`, or raise an error that names the close ones and all of them."""
    if name in options:
        return options[name]
    close = difflib.get_close_matches(name, options, n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    msg = f"no {what} is named {name!r}.{hint} Known: {', '.join(sorted(options))}."
    raise error(msg)
