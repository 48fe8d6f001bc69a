"""Checks of arguments that both implementations share, so that both raise the same errors."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt

from furiosa_models.errors import ShapeError
from furiosa_models.spec import check_choice

__all__ = [
    "check_array",
    "check_at_least",
    "check_boxes",
    "check_choice",
    "check_contexts",
    "check_count",
    "check_image",
    "check_limit",
    "check_maps",
    "check_unit",
]

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


def _fits(got: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    if len(got) != len(expected):
        return False
    for length, expected_length in zip(got, expected, strict=True):
        if length != expected_length and not isinstance(expected_length, str):
            return False
    return True


def check_unit(name: str, value: object) -> None:
    """Raise ValueError unless 0 <= value <= 1, and TypeError for what is no number."""
    if not isinstance(value, Real):
        msg = f"{name} must be a number between 0 and 1, got {value!r}"
        raise TypeError(msg)
    if not 0.0 <= float(value) <= 1.0:
        msg = f"{name} must lie between 0 and 1, got {value}"
        raise ValueError(msg)


def check_limit(name: str, value: object) -> None:
    """Raise ValueError for a negative limit, and TypeError for what is no integer."""
    if value is not None:
        check_at_least(name, value, 0, "None or ")


def check_at_least(name: str, value: object, minimum: int, other: str = "") -> None:
    """Raise ValueError for a number below the least, and TypeError for what is no integer.

    Args:
        name: What the message calls it.
        value: Anything.
        minimum: The least that is accepted.
        other: What else is accepted, for the message.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Integral)):
        msg = f"{name} must be {other}an integer, got {value!r}"
        raise TypeError(msg)
    if value < minimum:
        msg = f"{name} must be {other}at least {minimum}, got {value}"
        raise ValueError(msg)


def check_boxes(boxes: object, name: str = "boxes") -> None:
    """Raise ShapeError unless `boxes` is a float32 array `(n, 4)`."""
    check_array(name, boxes, np.float32, ("n", 4))


def check_image(image: object, channels: tuple[int, ...]) -> None:
    """Raise ShapeError unless `image` is a uint8 array `(h, w[, c])` with pixels."""
    if isinstance(image, np.ndarray):
        depth = image.shape[2] if image.ndim == 3 else 1
        flat = image.ndim == 2 and 1 in channels
        if (
            image.dtype == np.uint8
            and image.size
            and (flat or (image.ndim == 3 and depth in channels))
        ):
            return
        got = f"{image.dtype} of shape {image.shape}"
    else:
        got = type(image).__name__
    expected = " or ".join(str(count) for count in channels)
    msg = f"an image must be a uint8 array of h x w x {expected} with at least one pixel, got {got}"
    raise ShapeError(msg)


def check_count(outputs: Sequence[object], count: int) -> None:
    """Raise ShapeError unless there are `count` outputs."""
    if len(outputs) != count:
        msg = f"expected {count} output{'' if count == 1 else 's'}, got {len(outputs)}"
        raise ShapeError(msg)


def check_contexts(contexts: Sequence[object], batch: int) -> None:
    """Raise ShapeError unless there is a context for each photo of a batch."""
    if len(contexts) != batch:
        msg = f"expected {batch} contexts, one for each photo of the batch, got {len(contexts)}"
        raise ShapeError(msg)
