"""Options of custom operations: a map of numbers in the FlexBuffers format."""

from __future__ import annotations

import struct

from ...errors import WeightsError

__all__ = ["read_map"]

_MAP = 9
_CODES = {1: "bhiq", 2: "BHIQ", 3: "?efd", 26: "BHIQ"}
"""Codes of `struct` by the type of a number (int, uint, float, bool) and its width."""


def read_map(data: bytes) -> dict[str, float]:
    """Return the numbers of a map by name; values of other types are left out.

    Raises:
        WeightsError: The bytes are no map.
    """
    try:
        return _read_map(data)
    except (IndexError, ValueError, struct.error) as error:
        msg = f"options of {len(data)} bytes are no map: {error}"
        raise WeightsError(msg) from error


def _read_map(data: bytes) -> dict[str, float]:
    root_width, packed = data[-1], data[-2]
    if packed >> 2 != _MAP:
        msg = f"the options are no map, but of type {packed >> 2}"
        raise WeightsError(msg)
    width = 1 << (packed & 3)
    values = _follow(data, len(data) - 2 - root_width, root_width)
    count, keys_width = (_unsigned(data, values - i * width, width) for i in (1, 2))
    keys = _follow(data, values - 3 * width, width)
    if count > len(data):
        msg = f"options of {len(data)} bytes have {count} entries"
        raise WeightsError(msg)
    found = {}
    for i in range(count):
        start = _follow(data, keys + i * keys_width, keys_width)
        name = data[start : data.index(0, start)].decode()
        code = _CODES.get(data[values + count * width + i] >> 2)
        if code is not None:
            found[name] = _number(data, values + i * width, width, code)
    return found


def _follow(data: bytes, position: int, width: int) -> int:
    """Return what an offset, which counts backwards, refers to."""
    return position - _unsigned(data, position, width)


def _unsigned(data: bytes, position: int, width: int) -> int:
    return int(_number(data, position, width, _CODES[2]))


def _number(data: bytes, position: int, width: int, codes: str) -> float:
    if position < 0 or width not in (1, 2, 4, 8):
        msg = f"the options have a number of {width} bytes at {position}"
        raise WeightsError(msg)
    (value,) = struct.unpack_from(f"<{codes[width.bit_length() - 1]}", data, position)
    return float(value)
