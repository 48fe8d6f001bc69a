"""Conversion of frozen graphs to ONNX by tf2onnx, with the names of the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx

from ..._lazy import require
from ...errors import ConversionError
from ..environment import kept_environment
from .edit import EditableGraph, node_of
from .folding import WEIGHTED, folded
from .framework import first_line, quiet
from .frozen import FrozenGraph
from .program import QuantizedProgram

__all__ = ["OPSET", "to_onnx"]

OPSET = 18
"""tf2onnx 1.17 supports no newer one."""

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


def to_onnx(graph: FrozenGraph) -> onnx.ModelProto:
    """Return a frozen graph as ONNX.

    Raises:
        ConversionError: An operation cannot be converted; the message names it.
        ExtraRequired: tf2onnx is not installed.
    """
    with kept_environment("TF_CPP_MIN_LOG_LEVEL"):
        convert = require("tf2onnx.convert", "conversion to ONNX needs tf2onnx", extra="tensorflow")
    simple = folded(graph)
    with quiet():
        try:
            model, _ = convert.from_graph_def(
                simple.graph_def,
                input_names=[*simple.inputs.values()],
                output_names=[*simple.outputs.values()],
                opset=OPSET,
                custom_rewriter=[_merge_depthwise],
            )
        except Exception as error:  # tf2onnx raises errors of many types
            msg = f"tf2onnx cannot convert the graph: {first_line(error)}"
            raise ConversionError(msg) from error
    _check_supported(model.graph)
    _restore_names(model, EditableGraph(simple))
    tensors = {tensor: name for name, tensor in simple.inputs.items()}
    _rename(model.graph, tensors | {tensor: name for name, tensor in simple.outputs.items()})
    return _with_order(model, simple)


def _check_supported(graph: onnx.GraphProto) -> None:
    """Raise ConversionError if operations of TensorFlow are left in a graph."""
    left = sorted(
        f"{node.name} ({node.op_type})"
        for node in graph.node
        if node.domain not in _DOMAINS
        or (node.domain in ("", "ai.onnx") and not onnx.defs.has(node.op_type))
    )
    if left:
        msg = f"ONNX has no form for {len(left)} operations: {', '.join(left)}"
        raise ConversionError(msg)


def _merge_depthwise(graph: Any, operations: Any) -> Any:
    """Make a `BiasAdd` part of the depthwise convolution before it, as tf2onnx does for others.

    Its optimizer would do that later, but forget the names of both.
    """
    for add in [node for node in operations if node.type == "BiasAdd"]:
        conv = add.inputs[0]
        if conv is None or conv.type != "DepthwiseConv2dNative":
            continue
        output = conv.output[0]
        if len(graph.find_output_consumers(output)) != 1 or output in graph.outputs:
            continue
        shapes, kinds = [graph.get_shape(output)], [graph.get_dtype(output)]
        inputs, outputs = [*conv.input, add.input[1]], add.output
        graph.remove_node(conv.name)
        graph.remove_node(add.name)
        graph.make_node(
            conv.type,
            inputs,
            attr=conv.attr,
            name=conv.name,
            outputs=outputs,
            shapes=shapes,
            dtypes=kinds,
            skip_conversion=False,
        )
    return graph.get_nodes()


def _restore_names(model: onnx.ModelProto, original: EditableGraph) -> None:
    """Give nodes with weights the names of the operations, and a dense layer one node.

    tf2onnx names a convolution after the `BiasAdd` that it includes, or with a number if it
    includes padding. It does not include the `BiasAdd` of a dense layer, whose bias would have only
    eight bits after quantization.
    """
    biases = {
        node.name: original.nodes[node.input[0]]
        for node in original.nodes.values()
        if node.op == "BiasAdd" and node.input[0] in original.nodes
    }
    program = QuantizedProgram(model)
    known = {name.removesuffix(":0") for name in program.tensors()}
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        tensor = node.output[0]
        if node.name not in original.nodes:
            tensor = original.taken_by(program.users(tensor), known) or tensor
        owner = biases.get(tensor.removesuffix(":0"))
        if owner is not None and owner.op in WEIGHTED:
            _rename(model.graph, {node.output[0]: f"{node_of(tensor)}:0"})
            node.name = owner.name
    _merge_dense(model.graph, {n.name for n in original.nodes.values() if n.op == "MatMul"}, biases)


def _merge_dense(graph: onnx.GraphProto, products: set[str], biases: Mapping[str, Any]) -> None:
    """Replace `MatMul` and `Add` of a bias with `Gemm`."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    by_output = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    for add in [node for node in graph.node if node.op_type == "Add" and node.name in biases]:
        product = by_output.get(add.input[0])
        bias = weights.get(add.input[1])
        if (
            product is None
            or product.op_type != "MatMul"
            or product.name not in products
            or product.input[1] not in weights
            or bias is None
            or len(bias.dims) != 1
            or _count(graph, product.output[0]) != 1
            or product.output[0] in outputs
        ):
            continue
        product.op_type = "Gemm"
        product.input.append(add.input[1])
        product.output[0] = add.output[0]
        graph.node.remove(add)


def _count(graph: onnx.GraphProto, tensor: str) -> int:
    return sum(list(node.input).count(tensor) for node in graph.node)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors, also in the branches of the graph."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for branch in _branches(attribute):
                _rename(branch, names)


def _branches(attribute: onnx.AttributeProto) -> Iterable[onnx.GraphProto]:
    return [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _with_order(model: onnx.ModelProto, graph: FrozenGraph) -> onnx.ModelProto:
    """Give the inputs and outputs the order of the graph, and check that they are complete."""
    for values, names in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        by_name = {value.name: value for value in values}
        if missing := [name for name in names if name not in by_name]:
            msg = f"tf2onnx has dropped {', '.join(missing)}, on which no output depends"
            raise ConversionError(msg)
        ordered = [onnx.ValueInfoProto.FromString(by_name[n].SerializeToString()) for n in names]
        del values[:]
        values.extend(ordered)
    return model
