"""Quantization of a graph: the integers of a quantized program as `FakeQuant` operations.

TensorFlow computes with the numbers that the integers stand for. Its converter to TensorFlow Lite
makes integers of them.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
import onnx

from ...errors import ConversionError
from ..base import Array
from .edit import FLOAT, EditableGraph, flag, is_nhwc, node_of
from .folding import folded
from .frozen import FrozenGraph
from .program import QuantizedProgram, Range, Weights

__all__ = ["with_fake_quant"]

_SAME = {"Add": ("Add", "AddV2", "BiasAdd"), "Concat": ("ConcatV2",), "Mul": ("Mul",)}
"""Operations of TensorFlow that take the same constants as an operation of ONNX."""

_WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operations of ONNX whose second input are weights."""

_GREATEST = 127  # of symmetric 8-bit weights


def with_fake_quant(graph: FrozenGraph, model: onnx.ModelProto) -> FrozenGraph:
    """Return a graph that computes what a quantized program does.

    Weights and biases are those of the program. Each tensor that the program quantizes has a
    `FakeQuant`. A tensor inside of what ONNX spells as several nodes, but TensorFlow as one
    operation, has no counterpart, and stays float.

    Args:
        graph: The graph that the program was made of.
        model: The program.

    Raises:
        ConversionError: An operation with quantized weights has no quantized form.
    """
    editable = EditableGraph(folded(graph))
    program = QuantizedProgram(model)
    for node in program.nodes:
        original = editable.nodes.get(node.name)
        if original is not None:
            _quantize_constants(editable, original, node, program)
        elif program.weights(node) is not None and node.op_type in _WEIGHTED:
            msg = f"{node.name} ({node.op_type}) has no quantized form in TensorFlow: exclude it"
            raise ConversionError(msg)
    known = program.tensors()
    for found in program.ranges():
        tensor = _counterpart(editable, program, known, found.tensor)
        if tensor is not None:
            _quantize_tensor(editable, tensor, found)
    return editable.finished()


def _counterpart(
    graph: EditableGraph, program: QuantizedProgram, known: Set[str], tensor: str
) -> str | None:
    """Return the tensor of the graph that has the values of a tensor of the program."""
    for name in (tensor, program.source(tensor)):
        named = graph.inputs.get(name) or graph.outputs.get(name) or name
        if node_of(named) in graph.nodes and (named != name or name in known):
            return graph.origin(named)
    return graph.taken_by(program.users(tensor), {name.removesuffix(":0") for name in known})


def _quantize_tensor(graph: EditableGraph, tensor: str, found: Range) -> None:
    """Add a `FakeQuant` after a tensor, unless it has one."""
    node, _, place = tensor.partition(":")
    users = [user for user, _ in graph.users(tensor)]
    is_done = graph.nodes[node].op.startswith("FakeQuant")
    if is_done or any(user.op == "FakeQuantWithMinMaxVars" for user in users):
        return
    is_output = tensor in {graph.origin(output) for output in graph.outputs.values()}
    if is_output and not place and not any(graph.inputs[n] == f"{node}:0" for n in graph.inputs):
        _quantize_output(graph, node, found)
        return
    name = _fake_quant(graph, f"{node}/fake_quant{place}", tensor, found)
    graph.redirect(tensor, name, keep=[name])


def _quantize_output(graph: EditableGraph, node: str, found: Range) -> None:
    """Add a `FakeQuant` that takes over the name of the node before it."""
    before = graph.unused_name(f"{node}/float")
    graph.rename(node, before)
    quantized = _fake_quant(graph, node, before, found)
    if quantized != node:
        msg = f"the name {node!r} is taken"
        raise ConversionError(msg)


def _fake_quant(graph: EditableGraph, name: str, tensor: str, found: Range) -> str:
    name = graph.unused_name(name)
    limits = [
        graph.add_constant(f"{name}/{part}", np.asarray(value, np.float32))
        for part, value in (("min", found.low), ("max", found.high))
    ]
    return graph.add("FakeQuantWithMinMaxVars", name, [tensor, *limits], num_bits=8)


def _quantize_constants(
    graph: EditableGraph, original: Any, node: onnx.NodeProto, program: QuantizedProgram
) -> None:
    """Give an operation the weights, or another constant input, of a node of the program."""
    weights = program.weights(node) if node.op_type in _WEIGHTED else None
    if weights is not None:
        if original.op not in _SETTERS or not is_nhwc(original) or _is_transposed(original):
            msg = f"{node.name} ({original.op}) has no quantized form in TensorFlow: exclude it"
            raise ConversionError(msg)
        _set_bias(graph, original, program.bias(node))
        _set_pixels(graph, original, program.pixels(node))
        _SETTERS[original.op](graph, original, weights)
        return
    if original.op not in _SAME.get(node.op_type, ()):
        return
    ranges = program.constants(node)
    constants = [
        place
        for place, name in enumerate(original.input)
        if graph.is_constant(name) and graph.value(name).dtype == np.float32  # not an axis
    ]
    if len(ranges) == len(constants) == 1:
        tensor = original.input[constants[0]]
        name = f"{original.name}/constant"
        original.input[constants[0]] = _fake_quant(graph, name, tensor, ranges[0])


def _is_transposed(original: Any) -> bool:
    """Return whether an operation transposes its first input."""
    return flag(original, "transpose_a") or flag(original, "adj_x")


def _set_pixels(graph: EditableGraph, original: Any, pixels: Range | None) -> None:
    """Make an operation take the integers of an input, shifted by their zero point.

    The program has moved the scaling of pixels into the weights, so only transpositions are left of
    what the graph does with them.
    """
    if pixels is None:
        return
    image = graph.inputs[pixels.tensor].removesuffix(":0")
    kind = graph.nodes[image].attr["dtype"].type
    name = graph.unused_name(f"{original.name}/pixels")
    graph.add("Cast", name, [image], SrcT=kind, DstT=FLOAT)
    zero_point = graph.add_constant(f"{name}/zero_point", np.asarray(-pixels.low, np.float32))
    shifted = graph.add("Sub", graph.unused_name(f"{name}/shifted"), [name, zero_point], T=FLOAT)
    tensor = _fake_quant(graph, f"{name}/fake_quant", shifted, pixels)
    for node in _transpositions(graph, original.input[0], image):
        node.input[0] = tensor
        tensor = node.name
    original.input[0] = tensor


def _transpositions(graph: EditableGraph, tensor: str, image: str) -> list[Any]:
    """Return the `Transpose` nodes between an input and a tensor, in their order."""
    found = []
    while tensor != image:
        node = graph.nodes[tensor]
        if node.op == "Transpose":
            found.append(node)
        tensor = next(name for name in node.input if not graph.is_constant(name))
    return found[::-1]


def _set_bias(graph: EditableGraph, original: Any, bias: Array | None) -> None:
    if bias is None:
        return
    user = graph.only_user(original)
    array = graph.add_constant(f"{original.name}/quantized_bias", bias)
    if user is not None and user[0].op == "BiasAdd":
        user[0].input[1] = array
        return
    name = graph.unused_name(f"{original.name}/BiasAdd")
    graph.add("BiasAdd", name, [original.name, array], T=FLOAT)
    graph.redirect(original.name, name, keep=[name])


def _set_conv(graph: EditableGraph, original: Any, weights: Weights) -> None:
    kernel = weights.values.transpose(2, 3, 1, 0)
    name = graph.add_constant(f"{original.name}/quantized_weights", kernel)
    original.input[1] = _quantized_weights(graph, name, weights)


def _set_depthwise(graph: EditableGraph, original: Any, weights: Weights) -> None:
    """Set weights whose channels are the last axis only while they are quantized."""
    shape = graph.value(original.input[1]).shape
    kernel = weights.values.transpose(2, 3, 1, 0)
    name = graph.add_constant(f"{original.name}/quantized_weights", kernel.reshape(shape))
    reshaped = graph.add_reshape(graph.unused_name(f"{name}/channels"), name, kernel.shape)
    quantized = _quantized_weights(graph, reshaped, weights)
    original.input[1] = graph.add_reshape(graph.unused_name(f"{name}/kernel"), quantized, shape)


def _set_dense(graph: EditableGraph, original: Any, weights: Weights) -> None:
    """Set the weights of a dense layer.

    The converter to TensorFlow Lite rejects a `MatMul` whose weights have a scale for each channel,
    but not an equal `Conv2D`.
    """
    matrix = weights.values
    if flag(original, "transpose_b"):
        original.attr["transpose_b"].b = False  # the program's weights are transposed
    name = graph.add_constant(f"{original.name}/quantized_weights", matrix)
    if weights.scales.size == 1:
        original.input[1] = _quantized_weights(graph, name, weights)
        return
    rows, columns = matrix.shape
    kernel = graph.add_constant(f"{name}/kernel", matrix.reshape(1, 1, rows, columns))
    quantized = _quantized_weights(graph, kernel, weights)
    pixels = graph.unused_name(f"{original.name}/pixels")
    graph.add_reshape(pixels, original.input[0], (-1, 1, 1, rows))
    product = graph.unused_name(f"{original.name}/Conv2D")
    graph.add("Conv2D", product, [pixels, quantized], T=FLOAT)
    attributes = graph.nodes[product].attr
    attributes["strides"].list.i.extend([1, 1, 1, 1])
    attributes["padding"].s = b"VALID"
    del graph.nodes[original.name]
    graph.add_reshape(original.name, product, (-1, columns))


def _set_batch_dense(graph: EditableGraph, original: Any, weights: Weights) -> None:
    """Set the weights of a dense layer of sequences; their channels are the last axis."""
    if flag(original, "adj_y"):
        original.attr["adj_y"].b = False  # the program's weights are transposed
    name = graph.add_constant(f"{original.name}/quantized_weights", weights.values)
    original.input[1] = _quantized_weights(graph, name, weights)


def _quantized_weights(graph: EditableGraph, tensor: str, weights: Weights) -> str:
    """Add a `FakeQuant` of weights, per tensor or of each channel, and return its name."""
    limit = (_GREATEST * weights.scales).astype(np.float32)
    single = limit.size == 1
    name = graph.unused_name(f"{tensor}/fake_quant")
    limits = [
        graph.add_constant(f"{name}/{part}", value.reshape(() if single else -1))
        for part, value in (("min", -limit), ("max", limit))
    ]
    op = "FakeQuantWithMinMaxVars" if single else "FakeQuantWithMinMaxVarsPerChannel"
    return graph.add(op, name, [tensor, *limits], num_bits=8, narrow_range=True)


_SETTERS = {
    "BatchMatMulV2": _set_batch_dense,
    "Conv2D": _set_conv,
    "DepthwiseConv2dNative": _set_depthwise,
    "MatMul": _set_dense,
}
