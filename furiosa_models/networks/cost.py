"""The size of a network: its parameters, and the operations that one image takes."""

from __future__ import annotations

import math
from typing import NamedTuple

import onnx
from onnx import helper

from . import edit

__all__ = ["Cost", "cost_of"]

_CONVOLUTIONS = ("Conv", "ConvTranspose", "QLinearConv", "ConvInteger")
_PRODUCTS = ("Gemm", "MatMul", "QLinearMatMul", "MatMulInteger")
_WEIGHT = {"QLinearConv": 3, "QLinearMatMul": 3}
_SMALL = 16
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_INTEGERS = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


class Cost(NamedTuple):
    """The size of a network.

    Attributes:
        parameters: Number of its weights.
        multiply_adds: Number of multiplications with an addition of its convolutions and matrix
            products for one image; None if a shape is not known.
    """

    parameters: int
    multiply_adds: int | None

    @property
    def gflops(self) -> float | None:
        """Billions of operations for one image; a multiplication with an addition is two."""
        return None if self.multiply_adds is None else 2 * self.multiply_adds / 1e9


def cost_of(model: bytes | onnx.ModelProto) -> Cost:
    """Return the size of a network.

    Args:
        model: The network as ONNX, with an input of known height and width.

    Raises:
        ShapeError: The graph cannot process one image.
        WeightsError: The bytes are not an ONNX model.
    """
    proto = edit.parse(edit.set_batch_size(model, 1))
    counted = (*_FLOATS, *_INTEGERS)
    sizes = (math.prod(t.dims) for t in edit.tensors(proto) if t.data_type in counted)
    parameters = sum(size for size in sizes if size >= _SMALL)
    graph = edit.inferred(proto)
    values = (*graph.value_info, *graph.output, *graph.input)
    shapes = {value.name: _shape(value) for value in values}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in proto.graph.node:
        found = _multiply_adds(node, shapes)
        if found is None:
            return Cost(parameters, None)
        total += found
    return Cost(parameters, total)


def _multiply_adds(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...] | None]) -> int | None:
    """Return the operations of a node; 0 for one that is not counted, None if unknown."""
    if node.op_type not in (*_CONVOLUTIONS, *_PRODUCTS):
        return 0
    weight = shapes.get(node.input[_WEIGHT.get(node.op_type, 1)])
    output, image = shapes.get(node.output[0]), shapes.get(node.input[0])
    if weight is None or output is None or image is None:
        return None
    if node.op_type == "ConvTranspose":  # every element of the input meets the kernel
        return math.prod(image) * math.prod(weight[1:])
    if node.op_type in _CONVOLUTIONS:
        return math.prod(output) * math.prod(weight[1:])
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return math.prod(output) * weight[-1 if attributes.get("transB") else -2]


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(d.HasField("dim_value") for d in kind.shape.dim):
        return None
    return tuple(d.dim_value for d in kind.shape.dim)
