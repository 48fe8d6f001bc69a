"""Operations that change the shape, or join and split tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..operation import Operation
from ..values import CHANNELS_FIRST, Order

__all__ = [
    "broadcast",
    "concatenate",
    "fill",
    "move",
    "pack",
    "permute",
    "rank_of",
    "reshape",
    "shape_of",
    "split",
    "split_sizes",
    "spread",
    "tile",
    "unpack",
]


def move(op: Operation, make: Callable[[str], str], order: Order = None) -> None:
    """Convert an operation that only moves the elements of its first input.

    Args:
        op: The operation.
        make: Adds the nodes to the name of the input, and returns the name of the result.
        order: Order of the dimensions in which it works.
    """
    if op.keeps_quantization(0):
        op.define(make(op.stored(0, order)), order)
    else:
        op.finish(make(op.real(0, order)), order)


def reshape(op: Operation) -> None:
    """Convert RESHAPE, SQUEEZE and EXPAND_DIMS; the file contains the new shape."""
    shape = op.outputs[0].tensor.shape
    if math.prod(shape) != math.prod(op.shape()):
        op.refuse(f"{list(op.shape())} does not become {list(shape)}: its shape is not constant")
    move(op, lambda x: op.emit("Reshape", [x, op.indices(shape)]))


def permute(op: Operation) -> None:
    """Convert TRANSPOSE."""
    order = [op.axis(axis) for axis in op.integers(1)]
    move(op, lambda x: op.emit("Transpose", [x], perm=order))


def concatenate(op: Operation) -> None:
    """Convert CONCATENATION."""
    order = op.order()
    axis = op.moved(op.options["axis"], order)
    every = range(len(op.inputs))
    if op.keeps_quantization() and not op.options["activation"]:
        op.define(op.emit("Concat", [op.stored(i, order) for i in every], axis=axis), order)
    else:
        op.finish(op.emit("Concat", [op.real(i, order) for i in every], axis=axis), order)


def pack(op: Operation) -> None:
    """Convert PACK, which joins tensors along a new dimension."""
    axis = op.options["axis"] % (op.value(0).rank + 1)
    same = op.keeps_quantization()
    parts = [
        op.emit("Unsqueeze", [op.stored(i) if same else op.real(i), op.indices([axis])])
        for i in range(len(op.inputs))
    ]
    made = op.emit("Concat", parts, axis=axis)
    if same:
        op.define(made)
    else:
        op.finish(made)


def unpack(op: Operation) -> None:
    """Convert UNPACK, which takes a tensor apart along a dimension."""
    axis, same = op.axis(op.options["axis"]), op.keeps_quantization(0)
    count = len(op.outputs)
    sizes = op.indices([1] * count)
    parts = op.emit_many("Split", [op.stored() if same else op.real(), sizes], count, axis=axis)
    for number, part in enumerate(parts):
        made = op.emit("Squeeze", [part, op.indices([axis])])
        if same:
            op.define(made, number=number)
        else:
            op.finish(made, number=number)


def split(op: Operation) -> None:
    """Convert SPLIT, whose first input is the dimension."""
    (axis,) = op.integers(0)
    axis = op.axis(axis, 1)
    count = len(op.outputs)
    _split(op, 1, axis, [op.shape(1)[axis] // count] * count)


def split_sizes(op: Operation) -> None:
    """Convert SPLIT_V, whose other inputs are the sizes, of which -1 is the rest, and the axis."""
    (axis,) = op.integers(2)
    axis = op.axis(axis)
    sizes = op.integers(1)
    rest = op.shape()[axis] - sum(size for size in sizes if size >= 0)
    _split(op, 0, axis, [rest if size < 0 else size for size in sizes])


def _split(op: Operation, index: int, axis: int, sizes: list[int]) -> None:
    order, same = op.order(index), op.keeps_quantization(index)
    source = op.stored(index, order) if same else op.real(index, order)
    moved = op.moved(axis, order, index)
    parts = op.emit_many("Split", [source, op.indices(sizes)], len(op.outputs), axis=moved)
    for number, part in enumerate(parts):
        if same:
            op.define(part, order, number)
        else:
            op.finish(part, order, number)


def tile(op: Operation) -> None:
    """Convert TILE."""
    move(op, lambda x: op.emit("Tile", [x, as_int64(op, 1)]))


def broadcast(op: Operation) -> None:
    """Convert BROADCAST_TO."""
    move(op, lambda x: op.emit("Expand", [x, as_int64(op, 1)]))


def fill(op: Operation) -> None:
    """Convert FILL, of the shape in its first input with the number in its second."""
    dims = as_int64(op, 0)
    if op.keeps_quantization(1):
        op.define(op.emit("Expand", [op.stored(1), dims]))
    else:
        op.finish(op.emit("Expand", [op.real(1), dims]))


def shape_of(op: Operation) -> None:
    """Convert SHAPE, which the file contains."""
    op.define_constant(np.array(op.shape(), op.outputs[0].tensor.dtype))


def rank_of(op: Operation) -> None:
    """Convert RANK."""
    op.define_constant(np.array(op.value(0).rank, op.outputs[0].tensor.dtype))


def spread(op: Operation) -> None:
    """Convert SPACE_TO_DEPTH and DEPTH_TO_SPACE, of blocks whose pixels become channels."""
    kind = "SpaceToDepth" if op.kind == "SPACE_TO_DEPTH" else "DepthToSpace"
    size = op.options["block_size"]
    move(op, lambda x: op.emit(kind, [x], blocksize=size), CHANNELS_FIRST)


def as_int64(op: Operation, index: int) -> str:
    """Return the name of an input as int64, which ONNX requires of shapes and indices."""
    value = op.value(index)
    if value.constant is not None:
        return op.array(value.constant.astype(np.int64), "indices")
    if value.tensor.dtype == "int64":
        return op.stored(index)
    return op.emit("Cast", [op.stored(index)], to=7)
