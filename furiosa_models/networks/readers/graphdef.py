"""Reader of frozen TensorFlow graphs, which returns the values of `Const` nodes.

It parses the few required fields directly from the protobuf wire format, and skips all others. So
it needs no generated message classes, and does not copy the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from ...errors import WeightsError
from ._raw import Array, Budget, checked_shape, decode, single

__all__ = ["read"]

# tensorflow/core/framework/types.proto
_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
}
_HALVES = ("bfloat16", "float16")

_Field = tuple[int, "int | memoryview"]


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the constants of a frozen graph by node name; see `read_weights`."""
    data = single(files)
    budget = Budget([data])
    arrays = {}
    for number, node in _fields(memoryview(data)):
        name, tensor = _constant(_view(node)) if number == 1 else ("", None)
        array = None if tensor is None else _array(tensor, name, budget)
        if array is not None:
            arrays[name] = array
    if not arrays:
        msg = "no constants in the graph: expected a frozen TensorFlow GraphDef"
        raise WeightsError(msg)
    return arrays


def _constant(node: memoryview) -> tuple[str, memoryview | None]:
    """Return the name of a NodeDef and, if it is a constant, its TensorProto."""
    name, op, tensor = "", b"", None
    for number, value in _fields(node):
        if number == 1:
            name = bytes(_view(value)).decode()
        elif number == 2:
            op = bytes(_view(value))
        elif number == 5:
            entry = dict(_fields(_view(value)))
            if bytes(_view(entry[1])) == b"value":
                tensor = dict(_fields(_view(entry[2]))).get(8)
    return name, None if op != b"Const" or tensor is None else _view(tensor)


def _array(tensor: memoryview, name: str, budget: Budget) -> Array | None:
    """Return the array of a TensorProto; None for strings and other types that are not weights."""
    dtype = None
    shape: tuple[int, ...] = ()
    content = memoryview(b"")
    listed: list[_Field] = []
    for number, value in _fields(tensor):
        if number == 1:
            dtype = _DTYPES.get(_int(value))
        elif number == 2:
            shape = checked_shape(list(_dims(_view(value))), name)
        elif number == 4:
            content = _view(value)
        elif number >= 5:
            listed.append((number, value))
    if dtype is None:
        return None
    if len(content):
        return decode(content, dtype, shape, budget, name)
    empty = np.zeros(0, np.float32 if dtype in _HALVES else dtype)
    values = np.concatenate([empty, *(_values(field, value, dtype) for field, value in listed)])
    return _filled(values, shape, budget, name)


def _dims(shape: memoryview) -> Iterator[int]:
    """Yield the sizes of the dimensions in a TensorShapeProto."""
    for number, dim in _fields(shape):
        if number == 2:
            yield _int(dict(_fields(_view(dim))).get(1, 0))


def _values(number: int, value: int | memoryview, dtype: str) -> Array:
    """Return the values in a field of a TensorProto that lists them, packed or not."""
    if number == 5:
        return np.frombuffer(_view(value), "<f4")
    if number == 6:
        return np.frombuffer(_view(value), "<f8")
    integers = [value] if isinstance(value, int) else list(_varints(value))
    if dtype in _HALVES:
        raw = np.array(integers, np.uint16).tobytes()
        return decode(raw, dtype, (len(integers),), Budget([raw]), "half_val")
    return np.array(integers).astype(dtype)


def _filled(values: Array, shape: tuple[int, ...], budget: Budget, name: str) -> Array:
    """Reshape values, after repeating the last one, since TensorFlow omits its repetitions."""
    count = math.prod(shape)
    budget.take(count * max(4, values.itemsize), name)
    if len(values) > count:
        msg = f"{name}: expected at most {count} values for {list(shape)}, got {len(values)}"
        raise WeightsError(msg)
    array = np.zeros(count, np.float32 if values.dtype.kind == "f" else values.dtype)
    array[: len(values)] = values
    if len(values):
        array[len(values) :] = values[-1]
    return array.reshape(shape)


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield field numbers and values of a protobuf message: integers, or bytes of other types."""
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


def _varints(packed: memoryview) -> Iterator[int]:
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield _int(value)


def _int(value: int | memoryview) -> int:
    """Convert an unsigned 64-bit field value to a signed integer."""
    if not isinstance(value, int):
        msg = "expected an integer, got bytes"
        raise WeightsError(msg)
    return value - (1 << 64) if value >= 1 << 63 else value


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        msg = "expected bytes, got an integer"
        raise WeightsError(msg)
    return value
