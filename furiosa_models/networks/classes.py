"""Replacement of the classes of a network: rows of its last layers are copied, or made."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ..errors import ConversionError
from ..spec import ClassChannels
from . import edit

__all__ = ["LastLayer", "Source", "last_layer", "replace_classes", "replaced"]

_MOVES = frozenset(
    {"AveragePool", "Dropout", "Flatten", "GatherND", "GlobalAveragePool", "Identity"}
    | {"ReduceMean", "Reshape", "Resize", "Squeeze", "Transpose", "Unsqueeze"}
)
_ACTIVATIONS = frozenset({"Sigmoid", "Softmax"})
_SPREAD = 0.01
"""Standard deviation of the difference of a new class from the mean of the old ones."""

_Array = npt.NDArray[Any]

Source: TypeAlias = int | Sequence[int] | None
"""Old classes that a new one starts from: one, several, or none."""


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
    """Return the layer that computes an output, before moves, averages and activations.

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
    sources: Sequence[Source],
) -> list[str]:
    """Replace the classes of a model, which is modified.

    A class gets the weights of its source, or the mean of those of its sources. The weights of a
    class without a source are the mean of all old classes, plus a little noise, which is the same
    in every process.

    Args:
        model: Model whose outputs come from layers with a channel for each class.
        channels: Arrangement of the channels of each output; None for one without classes.
        sources: Old classes that each new class starts from; both count backgrounds.

    Returns:
        The names of the initializers that were replaced.

    Raises:
        ConversionError: An output does not come from such a layer, or has no such class.
    """
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    channels_of: dict[str, tuple[int, int]] = {}
    resized: set[str] = set()
    for value, arrangement in zip(model.graph.output, channels, strict=True):
        if arrangement is None:
            continue
        layer = last_layer(model.graph, value.name)
        for name, axis in _rows_of(model.graph, layer, initializers):
            if name not in channels_of:  # outputs of several levels share a layer
                array = numpy_helper.to_array(initializers[name])
                made = replaced(array, axis, arrangement, sources, name)
                initializers[name].CopyFrom(numpy_helper.from_array(made, name))
                channels_of[name] = array.shape[axis], made.shape[axis]
        targets = [_shape_input(node) for node in layer.after]
        if resized.isdisjoint(targets):
            _resize_reshapes(layer, initializers, arrangement.groups, channels_of[name])
            resized.update(filter(None, targets))
    del model.graph.value_info[:]
    _infer_outputs(model)
    return list(channels_of)


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


def replaced(
    array: _Array,
    axis: int,
    arrangement: ClassChannels,
    sources: Sequence[Source],
    name: str,
) -> _Array:
    """Return the weights or biases of a layer for new classes.

    Args:
        array: Those for the old classes.
        axis: Axis that counts the channels.
        arrangement: Arrangement of the channels.
        sources: As for `replace_classes`.
        name: Name of the array, for messages; it is also the seed of classes without a source.

    Raises:
        ConversionError: The channels are not so arranged, or there is no such old class.
    """
    groups, before = arrangement.groups, arrangement.before
    rows = np.moveaxis(array, axis, 0)
    if len(rows) % groups:
        msg = f"expected the {len(rows)} channels of {name!r} to be a multiple of {groups}"
        raise ConversionError(msg)
    shape = (-1, groups) if arrangement.is_class_major else (groups, -1)
    by_group = rows.reshape(*shape, *rows.shape[1:])
    by_group = np.moveaxis(by_group, 0, 1) if arrangement.is_class_major else by_group
    end = by_group.shape[1] - arrangement.after
    kept, classes, rest = np.split(by_group, [before, end], axis=1)
    _check_sources(sources, classes.shape[1], name)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    mean = classes.mean(1)
    noise = _SPREAD if rows.ndim > 1 else 0.0  # biases need none
    made = []
    for source in sources:
        if source is None:
            made.append(mean + noise * random.standard_normal(mean.shape))
        elif isinstance(source, int):
            made.append(classes[:, source])
        else:
            made.append(classes[:, list(source)].mean(1))
    both = np.concatenate([kept, np.stack(made, 1), rest], 1).astype(array.dtype)
    both = np.moveaxis(both, 0, 1) if arrangement.is_class_major else both
    result = both.reshape(-1, *rows.shape[1:])
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def _check_sources(sources: Sequence[Source], count: int, name: str) -> None:
    """Check that a layer has the classes that new ones start from."""
    several = [[] if s is None else [s] if isinstance(s, int) else s for s in sources]
    greatest = max((index for each in several for index in each), default=-1)
    if greatest >= count:
        msg = (
            f"{name!r} has {count} classes, but new ones start from class {greatest}: expected a "
            "table of labels with as many names as the network has classes"
        )
        raise ConversionError(msg)


def _resize_reshapes(
    layer: LastLayer,
    initializers: dict[str, onnx.TensorProto],
    groups: int,
    channels: tuple[int, int],
) -> None:
    """Adapt the shapes that the result of a layer is given, to its new number of channels."""
    old, new = channels
    is_last = layer.node.op_type != "Conv"  # whether the channels are the last axis
    for node in reversed(layer.after):
        is_last = is_last or node.op_type == "Transpose"
        target = initializers.get(_shape_input(node) or "")
        if target is None:
            continue
        shape = numpy_helper.to_array(target).tolist()
        axes = [axis for axis, size in enumerate(shape) if axis and size in (old, old // groups)]
        if axes:  # others may be the height or width of a map, which happens to be as large
            axis = axes[-1 if is_last else 0]
            shape[axis] = new if shape[axis] == old else new // groups
            target.CopyFrom(numpy_helper.from_array(np.array(shape, np.int64), target.name))


def _shape_input(node: onnx.NodeProto) -> str | None:
    """Return the name of the shape that an operation gives to its input, if any."""
    place = {"Reshape": 1, "Resize": 3}.get(node.op_type, len(node.input))
    return node.input[place] if place < len(node.input) else None


def _infer_outputs(model: onnx.ModelProto) -> None:
    """Infer the shapes of the outputs again; the batch stays as it is."""
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim[1:]:
            dim.Clear()
    found = {value.name: value for value in edit.inferred(model).output}
    for value in model.graph.output:
        sizes = found[value.name].type.tensor_type.shape.dim
        for dim, known in zip(value.type.tensor_type.shape.dim, sizes, strict=False):
            dim.CopyFrom(known)
