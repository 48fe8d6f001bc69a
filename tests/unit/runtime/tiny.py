"""Tiny models."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

X = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


def make_model(batch: int | str = 1) -> onnx.ModelProto:
    """Make a model of `double = 2 * x`, `negative = -x`."""
    shape = [batch, 3, 2, 2]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("Neg", ["x"], ["negative"]),
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("double", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("negative", TensorProto.FLOAT, shape),
        ],
    )
    return _model(graph)


def mnist_like() -> onnx.ModelProto:
    """Make a model with the signature of the vendor's test model: sums of ten rows and columns."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [784, 10], np.ones(7840, np.float32))
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [1, 784])
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["Input3", "s"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["Plus214_Output_0"]),
        ],
        "mnist",
        [helper.make_tensor_value_info("Input3", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("Plus214_Output_0", TensorProto.FLOAT, [1, 10])],
        [weights, shape],
    )
    return _model(graph)


def three_inputs() -> onnx.ModelProto:
    """Make a model of `sum_k = k * (a + b + c)` for k = 1, 2, 3, of inputs (2, 2)."""
    names = ["a", "b", "c"]
    nodes = [helper.make_node("Sum", names, ["sum_1"])]
    nodes += [helper.make_node("Add", ["sum_1", f"sum_{k}"], [f"sum_{k + 1}"]) for k in (1, 2)]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in names]
    outputs = [
        helper.make_tensor_value_info(f"sum_{k}", TensorProto.FLOAT, [2, 2]) for k in (1, 2, 3)
    ]
    return _model(helper.make_graph(nodes, "sums", infos, outputs))


def table_lookup() -> onnx.ModelProto:
    """Make a model of `y[i] = table[index[i]]`, which fails if an index is out of range."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["y"])],
        "gather",
        [helper.make_tensor_value_info("index", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [table],
    )
    return _model(graph)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)
