"""Checks of arguments that both implementations share, so that both raise the same errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from furiosa_models.errors import ShapeError

__all__ = ["check_array", "check_choice", "check_limit", "check_maps", "check_unit"]

_FLOAT32 = np.dtype(np.float32)


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
        if value.dtype == dtype and _fits(value.shape, shape):
            return
        got = f"{value.dtype} of shape {value.shape}"
    else:
        got = type(value).__name__
    dimensions = ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "")
    msg = f"{name} must be a {np.dtype(dtype)} array of shape ({dimensions}), got {got}"
    raise ShapeError(msg)


def check_maps(name: str, maps: Sequence[object]) -> None:
    """Raise ShapeError unless each of `maps` is a float32 array of shape `(n, channels, h, w)`."""
    for i, value in enumerate(maps):
        if not isinstance(value, np.ndarray) or value.dtype != _FLOAT32 or value.ndim != 4:
            check_array(f"{name}[{i}]", value, _FLOAT32, ("n", "channels", "h", "w"))


def _fits(got: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    if len(got) != len(wanted):
        return False
    for length, want in zip(got, wanted, strict=True):
        if length != want and not isinstance(want, str):
            return False
    return True


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
