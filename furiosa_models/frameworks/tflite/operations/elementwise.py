"""Operations on each element: arithmetic, activations, comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable

from onnx import TensorProto

from ..builder import element_type
from ..operation import Operation

__all__ = [
    "add_all",
    "as_clip",
    "as_node",
    "cast",
    "comparison",
    "densify",
    "dequantize",
    "floor_division",
    "floor_remainder",
    "gelu",
    "leaky_relu",
    "parametric_relu",
    "quantize",
    "reciprocal_root",
    "select",
    "square",
    "squared_difference",
    "zeros_like",
]

Convert = Callable[[Operation], None]


def as_node(kind: str) -> Convert:
    """Return the converter to one ONNX node with the same inputs."""

    def convert(op: Operation) -> None:
        order = op.order()
        names = [op.real(i, order) for i in range(len(op.inputs))]
        op.finish(op.emit(kind, names), order)

    return convert


def as_clip(low: float, high: float) -> Convert:
    """Return the converter to a clip."""

    def convert(op: Operation) -> None:
        order = op.order()
        limits = [op.number(low), op.number(high)]
        op.finish(op.emit("Clip", [op.real(0, order), *limits]), order)

    return convert


def comparison(kind: str, *, negated: bool = False) -> Convert:
    """Return the converter of a comparison, whose result is not quantized."""

    def convert(op: Operation) -> None:
        order = op.order()
        made = op.emit(kind, [op.real(0, order), op.real(1, order)])
        op.finish(op.emit("Not", [made]) if negated else made, order)

    return convert


def parametric_relu(op: Operation) -> None:
    """Convert PRELU; the slopes are broadcast to the image.

    The operation of ONNX takes twice as long in ONNX Runtime as the four of which it consists.
    """
    order = op.order()
    x, slopes = op.real(0, order), op.real(1, order)
    below = op.emit("Mul", [op.emit("Min", [x, op.number(0.0)]), slopes])
    op.finish(op.emit("Add", [op.emit("Relu", [x]), below]), order)


def leaky_relu(op: Operation) -> None:
    """Convert LEAKY_RELU."""
    order = op.order()
    op.finish(op.emit("LeakyRelu", [op.real(0, order)], alpha=op.options["alpha"]), order)


def gelu(op: Operation) -> None:
    """Convert GELU, exact by the error function, or approximated by the hyperbolic tangent."""
    order = op.order()
    x = op.real(0, order)
    if op.options["approximate"]:
        cube = op.emit("Mul", [op.emit("Mul", [x, x]), op.emit("Mul", [x, op.number(0.044715)])])
        inner = op.emit("Mul", [op.emit("Add", [x, cube]), op.number(math.sqrt(2 / math.pi))])
        curve = op.emit("Tanh", [inner])
    else:
        curve = op.emit("Erf", [op.emit("Mul", [x, op.number(math.sqrt(0.5))])])
    half = op.emit("Mul", [x, op.number(0.5)])
    op.finish(op.emit("Mul", [half, op.emit("Add", [curve, op.number(1.0)])]), order)


def reciprocal_root(op: Operation) -> None:
    """Convert RSQRT."""
    order = op.order()
    op.finish(op.emit("Reciprocal", [op.emit("Sqrt", [op.real(0, order)])]), order)


def square(op: Operation) -> None:
    """Convert SQUARE."""
    order = op.order()
    x = op.real(0, order)
    op.finish(op.emit("Mul", [x, x]), order)


def squared_difference(op: Operation) -> None:
    """Convert SQUARED_DIFFERENCE."""
    order = op.order()
    difference = op.emit("Sub", [op.real(0, order), op.real(1, order)])
    op.finish(op.emit("Mul", [difference, difference]), order)


def floor_division(op: Operation) -> None:
    """Convert FLOOR_DIV; the division of ONNX truncates integers."""
    order = op.order()
    x, y = op.real(0, order), op.real(1, order)
    if op.tensor().dtype == "float32":
        op.finish(op.emit("Floor", [op.emit("Div", [x, y])]), order)
    else:
        whole = op.emit("Sub", [x, op.emit("Mod", [x, y])])
        op.finish(op.emit("Div", [whole, y]), order)


def floor_remainder(op: Operation) -> None:
    """Convert FLOOR_MOD, which has the sign of the divisor."""
    order = op.order()
    x, y = op.real(0, order), op.real(1, order)
    if op.tensor().dtype == "float32":
        floor = op.emit("Floor", [op.emit("Div", [x, y])])
        op.finish(op.emit("Sub", [x, op.emit("Mul", [floor, y])]), order)
    else:
        op.finish(op.emit("Mod", [x, y]), order)


def add_all(op: Operation) -> None:
    """Convert ADD_N."""
    order = op.order()
    op.finish(op.emit("Sum", [op.real(i, order) for i in range(len(op.inputs))]), order)


def zeros_like(op: Operation) -> None:
    """Convert ZEROS_LIKE."""
    x = op.real(0)
    zero = op.number(0, op.tensor().dtype)
    op.finish(op.emit("Expand", [zero, op.emit("Shape", [x])]))


def select(op: Operation) -> None:
    """Convert SELECT and SELECT_V2; in SELECT, a vector chooses rows."""
    condition, rank = op.stored(0), op.value(1).rank
    if op.kind == "SELECT" and op.value(0).rank == 1 and rank > 1:
        condition = op.emit("Reshape", [condition, op.indices([-1, *[1] * (rank - 1)])])
        op.finish(op.emit("Where", [condition, op.real(1), op.real(2)]))
        return
    order = op.order()
    op.finish(op.emit("Where", [op.stored(0, order), op.real(1, order), op.real(2, order)]), order)


def cast(op: Operation) -> None:
    """Convert CAST, between the types of the two tensors."""
    order = op.order()
    output = op.outputs[0].tensor
    kind = element_type(output.dtype, output.name)
    op.define(op.emit("Cast", [op.stored(0, order)], to=kind), order)


def quantize(op: Operation) -> None:
    """Convert QUANTIZE, of numbers or of integers with another scale."""
    order = op.order()
    op.finish(op.real(0, order), order)


def dequantize(op: Operation) -> None:
    """Convert DEQUANTIZE; a constant is kept as it is stored."""
    value = op.value(0)
    if not value.tensor.dtype.startswith("float") and value.quantization is None:
        op.refuse(f"{value.tensor.name} has no scale")
    if value.constant is not None:
        op.keep_constant()
        return
    order = op.order()
    if value.quantization is None:
        op.define(op.emit("Cast", [op.stored(0, order)], to=TensorProto.FLOAT), order)
    else:
        op.define(op.real(0, order), order)


def densify(op: Operation) -> None:
    """Convert DENSIFY; reading a sparse constant has made it dense."""
    op.constant(0)
    op.keep_constant()
