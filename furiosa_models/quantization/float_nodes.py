"""Protection of float operations between quantized ones.

ONNX Runtime itself quantizes the weights of a float convolution, per tensor, if its input comes
from `DequantizeLinear` and its output goes to `QuantizeLinear` (`WeightBiasQuantization` among its
optimizers). That loses the precision for which the operation was left float: up to 10 dB. But it
requires an input with a single scale. The protected input has that scale once for each channel.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["protect_float_nodes"]

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})
_FOLLOWING = frozenset({"Clip", "Relu"})


def protect_float_nodes(graph: onnx.GraphProto) -> None:
    """Dequantize the inputs of float operations between quantized ones with scales per channel."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    added = []
    for node in graph.node:
        source = producers.get(node.input[0]) if node.op_type in _WEIGHTED else None
        weight = constants.get(node.input[1]) if source is not None else None
        if source is None or source.op_type != "DequantizeLinear" or weight is None:
            continue
        if _leads_to_quantization(node, consumers):
            added.append(_dequantized_by_channel(graph, constants, node, source, weight))
    if added:
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
        followed = {node.name: node for node in added}
        del graph.node[:]
        for node in nodes:
            if f"{node.name}/input" in followed:
                graph.node.append(followed[f"{node.name}/input"])
            graph.node.append(node)


def _leads_to_quantization(
    node: onnx.NodeProto, consumers: dict[str, list[onnx.NodeProto]]
) -> bool:
    """Return whether the only consumer of a result, after activations, quantizes it."""
    while len(found := consumers.get(node.output[0], [])) == 1:
        (node,) = found
        if node.op_type not in _FOLLOWING:
            return node.op_type == "QuantizeLinear"
    return False


def _dequantized_by_channel(
    graph: onnx.GraphProto,
    constants: dict[str, onnx.TensorProto],
    node: onnx.NodeProto,
    source: onnx.NodeProto,
    weight: onnx.TensorProto,
) -> onnx.NodeProto:
    """Return a node that dequantizes the input of `node` by channel, and connect it."""
    name = f"{node.name}/input"
    channels = _channels(node, weight)
    names = [source.input[0]]
    for part, old in zip(("scale", "zero_point"), source.input[1:], strict=False):
        values = numpy_helper.to_array(constants[old])
        array = np.repeat(values.reshape(-1)[:1], channels)
        graph.initializer.append(numpy_helper.from_array(array, f"{name}/{part}"))
        names.append(f"{name}/{part}")
    node.input[0] = name
    return helper.make_node("DequantizeLinear", names, [name], name, axis=1)


def _channels(node: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    """Return the number of input channels of an operation."""
    attributes: dict[str, int] = {a.name: a.i for a in node.attribute}
    if node.op_type == "Conv":
        return int(weight.dims[1]) * attributes.get("group", 1)
    if node.op_type == "Gemm":
        return int(weight.dims[1 if attributes.get("transB", 0) else 0])
    return int(weight.dims[0])
