"""Reader of TensorFlow Lite models, which returns the dequantized constant tensors.

Flatbuffers are tables of offsets. The reader takes the required fields directly from the bytes, and
checks each offset against the end of the file. Many offsets may refer to one table, so that a small
file could contain an enormous number of tables; the reader limits this number, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np

from ...errors import WeightsError
from ._raw import MAX_RANK, Array, Budget, checked_shape, decode, single

__all__ = ["read"]

# TensorType in tensorflow/lite/schema/schema.fbs; strings, complex and packed types are not weights
_DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
    15: "uint32",
    16: "uint16",
    18: "bfloat16",
}
_OFFSET = 4
_ITEM_SIZES = {"B": 1, "i": 4, "f": 4, "q": 8, "I": 4}


class _Table:
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
        if position < 0:
            msg = f"an offset points {-position} bytes before the file"
            raise WeightsError(msg)
        (value,) = struct.unpack_from(f"<{code}", self._data, position)
        return int(value)

    def _field(self, index: int) -> int | None:
        """Return the position of a field's value, or None if the table omits it."""
        entry = 4 + 2 * index
        if entry + 2 > self._unpack("H", self._vtable):
            return None
        offset = self._unpack("H", self._vtable + entry)
        return self._position + offset if offset else None

    def scalar(self, index: int, code: str) -> int:
        """Return a number, or 0 if the table omits it."""
        position = self._field(index)
        return 0 if position is None else self._unpack(code, position)

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

    def table(self, index: int) -> _Table | None:
        position = self._field(index)
        if position is None:
            return None
        return _Table(self._data, position + self._unpack("I", position), self._entries)

    def tables(self, index: int) -> Iterator[_Table]:
        offsets = self.vector(index, "I")
        position = self._field(index)
        if position is not None:
            start = position + self._unpack("I", position) + 4
            for i, (offset,) in enumerate(struct.iter_unpack("<I", offsets)):
                self._entries.take(_OFFSET, "its tables")
                yield _Table(self._data, start + 4 * i + offset, self._entries)


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the constant tensors of all subgraphs by name; see `read_weights`."""
    data = single(files)
    if data[4:8] != b"TFL3":
        msg = f"not a TensorFlow Lite model: expected b'TFL3' at byte 4, got {data[4:8]!r}"
        raise WeightsError(msg)
    budget = Budget([data])
    model = _Table(data, struct.unpack_from("<I", data)[0], Budget([data]))
    buffers = list(model.tables(4))
    arrays: dict[str, Array] = {}
    for subgraph in model.tables(2):
        for tensor in subgraph.tables(0):
            name = bytes(tensor.vector(3, "B")).decode()
            budget.take(len(name), "a tensor's name")
            raw = _contents(buffers[tensor.scalar(2, "I")], data)
            dtype = _DTYPES.get(tensor.scalar(1, "b"))
            if len(raw) and dtype is not None and name not in arrays:
                arrays[name] = _array(tensor, name, dtype, raw, budget)
    return arrays


def _contents(buffer: _Table, data: bytes) -> memoryview:
    """Return the bytes of a buffer, which large models store outside the table."""
    offset, size = buffer.scalar(1, "Q"), buffer.scalar(2, "Q")
    return memoryview(data)[offset : offset + size] if offset > 1 else buffer.vector(0, "B")


def _array(tensor: _Table, name: str, dtype: str, raw: memoryview, budget: Budget) -> Array:
    """Decode a tensor; quantized ones are `(stored - zero_point) * scale` as float32."""
    dims = np.frombuffer(tensor.vector(0, "i"), "<i4")
    shape = checked_shape(dims[: MAX_RANK + 1].tolist(), name)
    stored = decode(raw, dtype, shape, budget, name)
    quantization = tensor.table(4)
    scale = np.zeros(0) if quantization is None else _numbers(quantization, 2, "f")
    if quantization is None or not len(scale) or stored.dtype.kind not in "iu":
        return stored
    zero_point = _numbers(quantization, 3, "q") if quantization.vector(3, "q") else np.zeros(1)
    if len(zero_point) not in (1, len(scale)):
        msg = f"{name}: {len(zero_point)} zero points for {len(scale)} scales"
        raise WeightsError(msg)
    axis = quantization.scalar(6, "i")
    return _dequantized(stored, scale, zero_point, axis, name)


def _numbers(table: _Table, index: int, code: str) -> Array:
    """Return a vector of numbers as float64, which represents scales and zero points exactly."""
    return np.frombuffer(table.vector(index, code), f"<{code}").astype(np.float64)


def _dequantized(stored: Array, scale: Array, zero_point: Array, axis: int, name: str) -> Array:
    if len(scale) > 1:
        if not 0 <= axis < stored.ndim or len(scale) != stored.shape[axis]:
            msg = f"{name}: {len(scale)} scales do not fit axis {axis} of {list(stored.shape)}"
            raise WeightsError(msg)
        along = [1] * stored.ndim
        along[axis] = -1
        scale = scale.reshape(along)
        zero_point = zero_point.reshape(along) if len(zero_point) > 1 else zero_point
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((stored - zero_point) * scale, np.float32)
