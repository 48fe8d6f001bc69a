"""Argument checks shared by both implementations, so that both raise the same errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

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
    "check_named_maps",
    "check_unit",
]

_FLOAT32 = np.dtype(np.float32)


def check_array(
    name: str, value: object, dtype: npt.DTypeLike, shape: tuple[int | str, ...]
) -> None:
    """Check dtype and shape of an array.

    Args:
        name: Name of the argument, for the message.
        value: The value to check.
        dtype: The expected dtype.
        shape: Expected lengths; a string stands for a dimension of any length.

    Raises:
        ShapeError: It is not an array of this dtype and shape.
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


def check_named_maps(maps: Sequence[npt.NDArray[Any]], channels: Mapping[str, int]) -> None:
    """Check that there is a map (n, channels, h, w) for each name, all of the first one's size.

    Raises:
        ShapeError: Their number, or a shape or dtype is wrong.
    """
    check_count(maps, len(channels))
    check_maps("maps", maps)
    count, _, height, width = maps[0].shape
    for (name, number), value in zip(channels.items(), maps, strict=True):
        expected = (count, number, height, width)
        if value.shape != expected:
            msg = f"{name} must have shape {expected}, got {value.shape}"
            raise ShapeError(msg)


def check_maps(name: str, maps: Sequence[object]) -> None:
    """Check that all maps are float32 arrays of shape `(n, channels, h, w)`.

    Raises:
        ShapeError: A map is not.
    """
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
    """Check that a number is in 0..1.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not in 0..1.
    """
    if not isinstance(value, Real):
        msg = f"{name} must be a number between 0 and 1, got {value!r}"
        raise TypeError(msg)
    if not 0.0 <= float(value) <= 1.0:
        msg = f"{name} must lie between 0 and 1, got {value}"
        raise ValueError(msg)


def check_limit(name: str, value: object) -> None:
    """Check that a limit is None or a non-negative integer.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is negative.
    """
    if value is not None:
        check_at_least(name, value, 0, "None or ")


def check_at_least(name: str, value: object, minimum: int, other: str = "") -> None:
    """Check that an integer is not below a minimum.

    Args:
        name: Name of the argument, for the message.
        value: The value to check.
        minimum: The minimum.
        other: Other accepted values, for the message.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is below the minimum.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Integral)):
        msg = f"{name} must be {other}an integer, got {value!r}"
        raise TypeError(msg)
    if value < minimum:
        msg = f"{name} must be {other}at least {minimum}, got {value}"
        raise ValueError(msg)


def check_boxes(boxes: object, name: str = "boxes") -> None:
    """Check that boxes are a float32 array `(n, 4)`.

    Raises:
        ShapeError: They are not.
    """
    check_array(name, boxes, np.float32, ("n", 4))


def check_image(image: object, channels: tuple[int, ...]) -> None:
    """Check that an image is a non-empty uint8 array `(h, w[, c])`.

    Raises:
        ShapeError: It is not.
    """
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
    """Check the number of outputs.

    Raises:
        ShapeError: It is not `count`.
    """
    if len(outputs) != count:
        msg = f"expected {count} output{'' if count == 1 else 's'}, got {len(outputs)}"
        raise ShapeError(msg)


def check_contexts(contexts: Sequence[object], batch: int) -> None:
    """Check that there is one context for each photo of a batch.

    Raises:
        ShapeError: There is not.
    """
    if len(contexts) != batch:
        msg = f"expected {batch} contexts, one for each photo of the batch, got {len(contexts)}"
        raise ShapeError(msg)
