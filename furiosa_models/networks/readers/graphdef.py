"""Reader of TensorFlow graphs: their nodes, and the values of `Const` nodes.

It parses the few required fields directly from the protobuf wire format, and skips all others. So
it needs no generated message classes, and does not copy the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ...errors import WeightsError
from ._protobuf import Field, fields, integer, text, varints, view
from ._raw import Array, Budget, Buffer, checked_shape, decode, single

__all__ = ["Node", "node", "nodes", "read"]

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


class Node(NamedTuple):
    """A node of a graph, or of a function.

    Attributes:
        name: Name of the node.
        op: Type of the operation.
        inputs: Names of the inputs, as the graph writes them: `node`, `node:1`, `^node`.
        attributes: Values of the attributes, each an `AttrValue` in the wire format.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: dict[str, memoryview]


def read(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the constants of a frozen graph by node name; see `read_weights`."""
    data = single(files)
    budget = Budget([data])
    arrays = {}
    for each in nodes(data):
        tensor = _constant(each)
        array = None if tensor is None else _array(tensor, each.name, budget)
        if array is not None:
            arrays[each.name] = array
    if not arrays:
        msg = "no constants in the graph: expected a frozen TensorFlow GraphDef"
        raise WeightsError(msg)
    return arrays


def nodes(graph: Buffer) -> Iterator[Node]:
    """Yield the nodes of a GraphDef; the nodes of its functions are not among them."""
    for number, value in fields(memoryview(graph)):
        if number == 1:
            yield node(view(value))


def node(message: memoryview) -> Node:
    """Return a NodeDef."""
    name, op = "", ""
    inputs: list[str] = []
    attributes = {}
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 2:
            op = text(value)
        elif number == 3:
            inputs.append(text(value))
        elif number == 5:
            entry = dict(fields(view(value)))
            attributes[text(entry[1])] = view(entry[2])
    return Node(name, op, tuple(inputs), attributes)


def _constant(node: Node) -> memoryview | None:
    """Return the TensorProto of a constant; None for other nodes."""
    value = node.attributes.get("value")
    if node.op != "Const" or value is None:
        return None
    tensor = dict(fields(value)).get(8)
    return None if tensor is None else view(tensor)


def _array(tensor: memoryview, name: str, budget: Budget) -> Array | None:
    """Return the array of a TensorProto; None for strings and other types that are not weights."""
    dtype = None
    shape: tuple[int, ...] = ()
    content = memoryview(b"")
    listed: list[Field] = []
    for number, value in fields(tensor):
        if number == 1:
            dtype = _DTYPES.get(integer(value))
        elif number == 2:
            shape = checked_shape(list(_dims(view(value))), name)
        elif number == 4:
            content = view(value)
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
    for number, dim in fields(shape):
        if number == 2:
            yield integer(dict(fields(view(dim))).get(1, 0))


def _values(number: int, value: int | memoryview, dtype: str) -> Array:
    """Return the values in a field of a TensorProto that lists them, packed or not."""
    if number == 5:
        return np.frombuffer(view(value), "<f4")
    if number == 6:
        return np.frombuffer(view(value), "<f8")
    integers = [value] if isinstance(value, int) else list(varints(value))
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
