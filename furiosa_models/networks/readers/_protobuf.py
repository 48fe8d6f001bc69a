"""The wire format of protobuf: fields by number, without generated message classes."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import WeightsError

__all__ = ["Field", "fields", "integer", "text", "varints", "view"]

Field = tuple[int, "int | memoryview"]
"""Number of a field, and its value: an integer, or the bytes of any other type."""


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message.

    Raises:
        WeightsError: The message ends within a field.
        LookupError: The same, or a field has an unknown wire type.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == 2:
            size, position = _varint(message, position)
        else:
            size = {1: 8, 5: 4}[wire_type]
        if size > len(message) - position:
            msg = f"expected a field of {size} bytes, but only {len(message) - position} are left"
            raise WeightsError(msg)
        yield key >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the variable-length integer at `position`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    msg = "an integer has more than ten bytes"
    raise WeightsError(msg)


def varints(packed: memoryview) -> Iterator[int]:
    """Yield the signed integers of a packed field."""
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield integer(value)


def integer(value: int | memoryview) -> int:
    """Return the signed integer of a field.

    Raises:
        WeightsError: The field is bytes.
    """
    if not isinstance(value, int):
        msg = "expected an integer, got bytes"
        raise WeightsError(msg)
    return value - (1 << 64) if value >= 1 << 63 else value


def view(value: int | memoryview) -> memoryview:
    """Return the bytes of a field.

    Raises:
        WeightsError: The field is an integer.
    """
    if isinstance(value, int):
        msg = "expected bytes, got an integer"
        raise WeightsError(msg)
    return value


def text(value: int | memoryview) -> str:
    """Return the string of a field.

    Raises:
        WeightsError: The field is an integer.
        ValueError: The bytes are not UTF-8.
    """
    return bytes(view(value)).decode()
