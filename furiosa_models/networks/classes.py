"""Replacement of the classes of a network: rows of its last layers are copied, or made."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ..errors import ConversionError
from ..spec import ClassChannels

__all__ = ["LastLayer", "last_layer", "replace_classes"]

_MOVES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_ACTIVATIONS = frozenset({"Sigmoid", "Softmax"})
_SPREAD = 0.01
"""Standard deviation of the difference of a new class from the mean of the old ones."""

_Array = npt.NDArray[Any]


class LastLayer(NamedTuple):
    """The layer that computes an output.

    Attributes:
        node: The convolution or matrix product.
        bias: Name of the initializer of its bias, if any.
        result: Name of its result, with the bias.
        after: The nodes from there to the output, last one first.
    """

    node: onnx.NodeProto
    bias: str | None
    result: str
    after: tuple[onnx.NodeProto, ...]


def last_layer(graph: onnx.GraphProto, output: str) -> LastLayer:
    """Return the layer that computes an output, before moves and activations.

    Raises:
        ConversionError: The output is computed in another way.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    name, after = output, []
    while (node := producers.get(name)) is not None and node.op_type in _MOVES | _ACTIVATIONS:
        after.append(node)
        name = node.input[0]
    if node is not None and node.op_type == "Add":
        products = [other for other in node.input if other not in constants]
        biases = [other for other in node.input if other in constants]
        product = producers.get(products[0]) if len(products) == len(biases) == 1 else None
        if product is not None and product.op_type == "MatMul":
            return LastLayer(product, biases[0], name, tuple(after))
    if node is None or node.op_type not in ("Conv", "Gemm", "MatMul"):
        found = "an input" if node is None else f"{node.op_type} ({node.name!r})"
        msg = f"expected a convolution or fully connected layer before {output!r}, got {found}"
        raise ConversionError(msg)
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    return LastLayer(node, bias, name, tuple(after))


def replace_classes(
    model: onnx.ModelProto,
    channels: Sequence[ClassChannels | None],
    sources: Sequence[int | None],
) -> list[str]:
    """Replace the classes of a model, which is modified.

    A class that has a source gets its weights. The weights of any other class are the mean of all
    old classes, plus a little noise, which is the same in every process.

    Args:
        model: Model whose outputs come from layers with a channel for each class.
        channels: Arrangement of the channels of each output; None for one without classes.
        sources: Index of the old class that each new class starts from, or None; both count
            backgrounds.

    Returns:
        The names of the initializers that were replaced.

    Raises:
        ConversionError: An output does not come from such a layer.
    """
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    replaced: list[str] = []
    for value, arrangement in zip(model.graph.output, channels, strict=True):
        if arrangement is None:
            continue
        layer = last_layer(model.graph, value.name)
        old = new = 1
        for name, axis in _rows_of(model.graph, layer, initializers):
            array = numpy_helper.to_array(initializers[name])
            if name in replaced:  # outputs of several levels share a layer
                continue
            made = _replaced(array, axis, arrangement, sources, name)
            old, new = array.shape[axis], made.shape[axis]
            initializers[name].CopyFrom(numpy_helper.from_array(made, name))
            replaced.append(name)
        _resize(layer, initializers, value, arrangement.groups, (old, new))
    del model.graph.value_info[:]
    return replaced


def _rows_of(
    graph: onnx.GraphProto, layer: LastLayer, initializers: dict[str, onnx.TensorProto]
) -> Iterator[tuple[str, int]]:
    """Yield the initializers of a layer, with the axis that counts its channels."""
    node = layer.node
    settings = {a.name: a.i for a in node.attribute}
    axis = {"Conv": 0, "Gemm": 0 if settings.get("transB") else 1, "MatMul": -1}[node.op_type]
    name = node.input[1]
    producers = {output: each for each in graph.node for output in each.output}
    while name in producers and producers[name].op_type == "Transpose":
        (order,) = (a.ints for a in producers[name].attribute if a.name == "perm")
        axis = order[axis]
        name = producers[name].input[0]
    if name not in initializers or (layer.bias is not None and layer.bias not in initializers):
        msg = f"expected constant weights of the last layer, {node.name!r}, got computed ones"
        raise ConversionError(msg)
    yield name, axis
    if layer.bias is not None:
        yield layer.bias, -1


def _replaced(
    array: _Array,
    axis: int,
    arrangement: ClassChannels,
    sources: Sequence[int | None],
    name: str,
) -> _Array:
    """Return the weights or biases of a layer for the new classes."""
    groups, before = arrangement.groups, arrangement.before
    rows = np.moveaxis(array, axis, 0)
    if len(rows) % groups:
        msg = f"expected the {len(rows)} channels of {name!r} to be a multiple of {groups}"
        raise ConversionError(msg)
    shape = (-1, groups) if arrangement.is_class_major else (groups, -1)
    by_group = rows.reshape(*shape, *rows.shape[1:])
    by_group = np.moveaxis(by_group, 0, 1) if arrangement.is_class_major else by_group
    kept, classes = by_group[:, :before], by_group[:, before:]
    random = np.random.default_rng(zlib.crc32(name.encode()))
    mean = classes.mean(1)
    noise = _SPREAD if rows.ndim > 1 else 0.0  # biases need none
    made = [
        mean + noise * random.standard_normal(mean.shape) if source is None else classes[:, source]
        for source in sources
    ]
    both = np.concatenate([kept, np.stack(made, 1)], 1).astype(array.dtype)
    both = np.moveaxis(both, 0, 1) if arrangement.is_class_major else both
    result = both.reshape(-1, *rows.shape[1:])
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def _resize(
    layer: LastLayer,
    initializers: dict[str, onnx.TensorProto],
    output: onnx.ValueInfoProto,
    groups: int,
    channels: tuple[int, int],
) -> None:
    """Adapt the shapes after a layer to its new number of channels."""
    old, new = channels
    sizes = {old: new, old // groups: new // groups}
    for node in layer.after:
        target = initializers.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is not None:
            shape = [sizes.get(size, size) for size in numpy_helper.to_array(target).tolist()]
            changed = numpy_helper.from_array(np.array(shape, np.int64), target.name)
            target.CopyFrom(changed)
    for dim in output.type.tensor_type.shape.dim:
        if dim.dim_value in sizes:
            dim.dim_value = sizes[dim.dim_value]
