"""Conversion of raw bytes to arrays; lengths are checked before memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...errors import WeightsError
from ..weights import Array

__all__ = [
    "MAX_RANK",
    "Array",
    "Budget",
    "Buffer",
    "checked_shape",
    "decode",
    "single",
    "to_float32",
]

Buffer = bytes | memoryview

MAX_RANK = 16
"""Maximum number of dimensions of a tensor."""
_SLACK = 1 << 20


class Budget:
    """Limit of the bytes that the arrays of a file may take.

    One stored byte becomes at most four (int8 to float32), so a valid file needs at most four times
    its size. A file that maps many tensors to the same bytes, or broadcasts one value to a
    huge shape, exceeds the budget.
    """

    def __init__(self, files: Iterable[Buffer]) -> None:
        self._left = 4 * sum(map(len, files)) + _SLACK

    def take(self, nbytes: int, what: str) -> None:
        """Subtract `nbytes` from the budget.

        Raises:
            WeightsError: The budget is exceeded; the message names `what`.
        """
        if nbytes > self._left:
            msg = f"{what} would take {nbytes} bytes, more than a file of this size can hold"
            raise WeightsError(msg)
        self._left -= nbytes


def single(files: Mapping[str, bytes]) -> bytes:
    """Return the contents of the only file.

    Raises:
        WeightsError: There is not exactly one file.
    """
    if len(files) != 1:
        msg = f"expected exactly one file, got {len(files)}: {', '.join(files) or 'none'}"
        raise WeightsError(msg)
    return next(iter(files.values()))


def checked_shape(dims: Sequence[object], what: str) -> tuple[int, ...]:
    """Return `dims` as a shape.

    Raises:
        WeightsError: `dims` are not at most 16 non-negative integers.
    """
    shape = tuple(dim for dim in dims if isinstance(dim, int) and not isinstance(dim, bool))
    if len(shape) != len(dims) or len(shape) > MAX_RANK or any(dim < 0 for dim in shape):
        msg = f"{what} has no valid shape: expected up to {MAX_RANK} non-negative integers"
        raise WeightsError(msg)
    return shape


def decode(raw: Buffer, dtype: str, shape: tuple[int, ...], budget: Budget, what: str) -> Array:
    """Convert little-endian bytes to an array; floating-point types become float32.

    Args:
        raw: Bytes of the tensor in C order.
        dtype: Name of a numpy type, or `"bfloat16"`.
        shape: Shape of the tensor.
        budget: Budget for the decoded array.
        what: Name of the tensor for error messages.

    Raises:
        WeightsError: The number of bytes does not match the shape, or the budget is exceeded.
    """
    stored = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")
    expected = math.prod(shape) * stored.itemsize
    if len(raw) != expected:
        msg = f"{what}: expected {expected} bytes for {dtype} {list(shape)}, got {len(raw)}"
        raise WeightsError(msg)
    budget.take(max(expected, 4 * math.prod(shape)), what)
    array = np.frombuffer(raw, stored).reshape(shape)
    if dtype == "bfloat16":
        widened: Array = array.astype(np.uint32) << np.uint32(16)
        return widened.view(np.float32)
    return to_float32(array)


def to_float32(array: Array) -> Array:
    """Convert floating-point arrays to float32, and other arrays to native byte order."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(np.float32, copy=False)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
