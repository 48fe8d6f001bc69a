"""Tables of a flatbuffer, read from bytes of any origin.

Flatbuffers are tables of offsets. The reader takes the required fields directly from the bytes, and
checks each offset against the end of the file. Many offsets may refer to one table, so that a small
file could contain an enormous number of tables; the reader limits this number, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ...errors import WeightsError
from ._raw import Budget

__all__ = ["Table"]

_TABLE = 16
"""What a table of a vector takes from the budget of 4 bytes for each byte of the file: a valid file
has an offset of 4 bytes for each."""
_ITEM_SIZES = {"B": 1, "H": 2, "i": 4, "f": 4, "q": 8, "I": 4}


class Table:
    """A flatbuffer table, with fields by their position in the schema.

    Args:
        data: Bytes of the file.
        position: Position of the table in the file.
        entries: Budget for the number of tables, of which each has its own offset in a valid file.
    """

    def __init__(self, data: bytes, position: int, entries: Budget) -> None:
        self._data = data
        self._entries = entries
        self._position = position
        self._vtable = position - self._unpack("i", position)

    def _unpack(self, code: str, position: int) -> int:
        return int(self._number(code, position))

    def _number(self, code: str, position: int) -> float:
        if position < 0:
            msg = f"an offset points {-position} bytes before the file"
            raise WeightsError(msg)
        (value,) = struct.unpack_from(f"<{code}", self._data, position)
        return value  # type: ignore[no-any-return]

    def _field(self, index: int) -> int | None:
        """Return the position of a field's value, or None if the table omits it."""
        entry = 4 + 2 * index
        if entry + 2 > self._unpack("H", self._vtable):
            return None
        offset = self._unpack("H", self._vtable + entry)
        return self._position + offset if offset else None

    def scalar(self, index: int, code: str, default: int = 0) -> int:
        """Return an integer, or its default if the table omits it."""
        position = self._field(index)
        return default if position is None else self._unpack(code, position)

    def real(self, index: int, default: float = 0.0) -> float:
        """Return a float32, or its default if the table omits it."""
        position = self._field(index)
        return default if position is None else self._number("f", position)

    def vector(self, index: int, code: str) -> memoryview:
        """Return the bytes of a vector of numbers or offsets, or no bytes if it is omitted."""
        position = self._field(index)
        if position is None:
            return memoryview(b"")
        start = position + self._unpack("I", position)
        size = self._unpack("I", start) * _ITEM_SIZES[code]
        if size > len(self._data) - start - 4:
            msg = f"a vector of {size} bytes at {start} reaches past the end of the file"
            raise WeightsError(msg)
        return memoryview(self._data)[start + 4 : start + 4 + size]

    def table(self, index: int) -> Table | None:
        """Return a table, or None if it is omitted."""
        position = self._field(index)
        if position is None:
            return None
        return Table(self._data, position + self._unpack("I", position), self._entries)

    def tables(self, index: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        offsets = self.vector(index, "I")
        position = self._field(index)
        if position is not None:
            start = position + self._unpack("I", position) + 4
            for i, (offset,) in enumerate(struct.iter_unpack("<I", offsets)):
                self._entries.take(_TABLE, "its tables")
                yield Table(self._data, start + 4 * i + offset, self._entries)
