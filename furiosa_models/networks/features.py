"""Features of a classifier, the input of its last layer, and another last layer after them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ..errors import ConversionError
from . import edit

__all__ = ["FEATURES", "LOGITS", "to_features", "with_classifier"]

FEATURES = "features"
LOGITS = "logits"
_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
_CLASSIFIER, _KERNEL, _BIAS = "classifier", "classifier.weight", "classifier.bias"


def to_features(model: edit.Model) -> onnx.ModelProto:
    """Return a classifier up to the input of its last layer.

    The output `features` is (n, c) float32. Features with pixels, (n, c, h, w), are averaged.

    Raises:
        ConversionError: The network does not end in a fully connected layer or a convolution.
    """
    proto = edit.parse(model)
    edit.constants_to_initializers(proto.graph)
    layer = _last_layer(proto.graph)
    (image,) = edit.get_pure_input_names(proto)[:1]
    part = edit.extract(proto, [image], [layer.input[0]])
    graph = part.graph
    name = _freed(graph).get(layer.input[0], layer.input[0])
    if layer.op_type == "Conv":
        averaged = edit.unused_name(f"{name}/averaged", graph)
        graph.node.append(helper.make_node("GlobalAveragePool", [name], [averaged], averaged))
        name = averaged
    rows = edit.unused_name(f"{FEATURES}/rows", graph)
    graph.node.append(helper.make_node("Flatten", [name], [FEATURES], rows, axis=1))
    del graph.output[:]
    batch = graph.input[0].type.tensor_type.shape.dim[0]
    size = batch.dim_value or batch.dim_param or "batch"
    width = _width(proto.graph, layer)
    graph.output.append(
        helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, [size, width])
    )
    return part


def with_classifier(
    features: onnx.ModelProto, kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> onnx.ModelProto:
    """Return a network of features with a fully connected layer; its output is `logits`.

    Args:
        features: The result of `to_features`.
        kernel: (classes, c) float32.
        bias: (classes,) float32.
    """
    proto = edit.parse(features)
    graph = proto.graph
    inputs = [FEATURES]
    for name, array in ((_KERNEL, kernel), (_BIAS, bias)):
        inputs.append(edit.unused_name(name, graph))
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), inputs[-1]))
    node = helper.make_node("Gemm", inputs, [LOGITS], _CLASSIFIER, transB=1)
    graph.node.append(node)
    (batch, *_) = graph.output[0].type.tensor_type.shape.dim
    size = batch.dim_value or batch.dim_param
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, [size, len(bias)])
    )
    return proto


def _last_layer(graph: onnx.GraphProto) -> onnx.NodeProto:
    """Return the last convolution or matrix product before the first output."""
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    name = graph.output[0].name
    node: onnx.NodeProto | None
    while (node := producers.get(name)) is not None and node.op_type not in _LAYERS:
        computed = [each for each in node.input if each and each not in constants]
        if len(computed) != 1:
            break
        name = computed[0]
    if node is None or node.op_type not in _LAYERS or node.input[1] not in constants:
        found = "an input" if node is None else f"{node.op_type} ({node.name!r})"
        msg = (
            "expected a network that ends in a fully connected layer or a convolution, and has "
            f"one path from there to its output, got {found}: use a classifier"
        )
        raise ConversionError(msg)
    return node


def _freed(graph: onnx.GraphProto) -> dict[str, str]:
    """Rename what has the names of the new layers; return the new names of tensors."""
    renamed = {name: edit.unused_name(f"{name}/before", graph) for name in (FEATURES, LOGITS)}
    edit.rename(graph, [*renamed], [*renamed.values()])
    for node in graph.node:
        if node.name in (FEATURES, _CLASSIFIER):
            node.name = edit.unused_name(f"{node.name}/before", graph)
    return renamed


def _width(graph: onnx.GraphProto, layer: onnx.NodeProto) -> int:
    """Return the number of features that a layer takes."""
    (dims,) = (list(t.dims) for t in graph.initializer if t.name == layer.input[1])
    if layer.op_type == "Conv":
        group = next((a.i for a in layer.attribute if a.name == "group"), 1)
        return int(dims[1]) * group
    transposed = any(a.name == "transB" and a.i for a in layer.attribute)
    return int(dims[1 if transposed else 0])
