"""Checks of arguments that both implementations share, so that both raise the same errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from furiosa_models.errors import ShapeError

__all__ = ["check_array", "check_choice", "check_limit", "check_unit"]


def check_array(
    name: str, value: object, dtype: npt.DTypeLike, shape: tuple[int | str, ...]
) -> None:
    """Raise ShapeError unless `value` is an array of that dtype and shape.

    Args:
        name: what the message calls it.
        value: anything.
        dtype: the only one accepted.
        shape: a length, or a name for a dimension of any length.
    """
    if isinstance(value, np.ndarray):
        if value.dtype == dtype and value.ndim == len(shape):
            pairs = zip(value.shape, shape, strict=True)
            if all(got == want or isinstance(want, str) for got, want in pairs):
                return
        got = f"{value.dtype} of shape {value.shape}"
    else:
        got = type(value).__name__
    dimensions = ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "")
    msg = f"{name} must be a {np.dtype(dtype)} array of shape ({dimensions}), got {got}"
    raise ShapeError(msg)


def check_unit(name: str, value: float) -> None:
    """Raise ValueError unless 0 <= value <= 1."""
    if not 0.0 <= value <= 1.0:
        msg = f"{name} must lie between 0 and 1, got {value}"
        raise ValueError(msg)


def check_limit(name: str, value: int | None) -> None:
    """Raise ValueError for a negative limit."""
    if value is not None and value < 0:
        msg = f"{name} must be None or at least 0, got {value}"
        raise ValueError(msg)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        msg = f"{name} must be one of {', '.join(choices)}, got {value!r}"
        raise ValueError(msg)
