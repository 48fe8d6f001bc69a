"""One or more graphs for every operation that has a PyTorch form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from .graphs import OPSET, graph

Array = npt.NDArray[Any]

_RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return _RANDOM.normal(size=shape).astype(np.float32)


def integers(*values: Any, dtype: Any = np.int64) -> Array:
    return np.array(values, dtype)


class Case(NamedTuple):
    model: onnx.ModelProto
    inputs: dict[str, Array]


X = floats(2, 4, 6, 6)
M = floats(2, 3, 5)
POSITIVE = np.abs(X) + 0.1
BOOLEANS = X > 0


def case(
    kind: str,
    inputs: Array | list[Array],
    *constants: Array | None,
    count: int = 1,
    opset: int = OPSET,
    **attributes: Any,
) -> Case:
    """Return a graph of one operation, whose inputs come first, and then constants."""
    given = inputs if isinstance(inputs, list) else [inputs]
    feed = {f"x{number}": array for number, array in enumerate(given)}
    weights = {f"layer.w{n}": array for n, array in enumerate(constants) if array is not None}
    names = ["" if a is None else f"layer.w{n}" for n, a in enumerate(constants)]
    outputs = [f"y{number}" for number in range(count)]
    node = helper.make_node(kind, [*feed, *names], outputs, **attributes)
    return Case(graph(node, feed, weights, opset=opset), feed)


def sizes(*nodes: onnx.NodeProto, **constants: Array) -> Case:
    """Return a graph that computes the sizes `s` and reshapes `x` to them."""
    last = helper.make_node("Reshape", ["x", "s"], ["y"])
    return Case(graph([*nodes, last], {"x": X}, constants), {"x": X})


def chain(inputs: dict[str, Array], *nodes: onnx.NodeProto, **constants: Array) -> Case:
    return Case(graph(list(nodes), inputs, constants), inputs)


node = helper.make_node

OPERANDS: dict[str, tuple[Any, ...]] = {
    "tensors": ([X, POSITIVE],),
    "constant": (X, np.abs(floats(4, 1, 1)) + 1),
    "scalar": (X, np.array(3.0, np.float32)),
}
CASES: dict[str, Case] = {
    **{
        f"{kind} {other}": case(kind, *arguments)
        for kind in ("Add", "Sub", "Mul", "Div")
        for other, arguments in OPERANDS.items()
    },
    "Div integers": case("Div", integers([7, -7], [9, -9]), integers(2)),
    "Mod": case("Mod", np.arange(-6, 6).reshape(3, 4), integers(5, -3, 4, 2)),
    "Mod of fractions": case("Mod", X, floats(6), fmod=1),
    "Mod of sizes": sizes(
        helper.make_node("Shape", ["x"], ["d"]),
        helper.make_node("Mod", ["d", "by"], ["m"]),
        helper.make_node("Concat", ["m", "rest"], ["s"], axis=0),
        by=integers(5),
        rest=integers(-1),
    ),
    "Pow": case("Pow", POSITIVE, np.array(2.5, np.float32)),
    "Equal": case("Equal", integers([1, 2], [3, 4]), integers(2)),
    **{
        kind: case(kind, X, np.array(0.25, np.float32))
        for kind in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    **{kind: case(kind, [BOOLEANS, BOOLEANS[:, ::-1].copy()]) for kind in ("And", "Or")},
    "Not": case("Not", BOOLEANS),
    **{
        kind: case(kind, X)
        for kind in (
            *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Identity", "Mish", "Neg"),
            *("Relu", "Round", "Sigmoid", "Sin", "Softplus", "Softsign", "Sign", "Tanh"),
        )
    },
    "Round halves": case("Round", np.array([[-2.5, -1.5, -0.5], [0.5, 1.5, 2.5]], np.float32)),
    **{kind: case(kind, POSITIVE) for kind in ("Log", "Reciprocal", "Sqrt")},
    "Max": case("Max", [X, POSITIVE], np.array(0.5, np.float32)),
    "Min": case("Min", [X, POSITIVE], np.array(0.5, np.float32)),
    "Clip": case("Clip", X, np.array(0.0, np.float32), np.array(0.5, np.float32)),
    "Clip without a minimum": case("Clip", X, None, np.array(0.5, np.float32)),
    "Clip by attributes": case("Clip", X, opset=6, min=-0.5, max=0.25),
    "LeakyRelu": case("LeakyRelu", X, alpha=0.2),
    "Elu": case("Elu", X, alpha=1.5),
    "Gelu": case("Gelu", X),
    "Gelu tanh": case("Gelu", X, approximate="tanh"),
    "HardSigmoid": case("HardSigmoid", X, alpha=1 / 6, beta=0.5),
    "PRelu": case("PRelu", X, floats(4, 1, 1)),
    "Softmax": case("Softmax", X, axis=1),
    "LogSoftmax": case("LogSoftmax", X),
    "Where": case("Where", [BOOLEANS, X, POSITIVE]),
    "Where constant": case("Where", [BOOLEANS, X], np.array(-1.0, np.float32)),
    "Conv": case("Conv", X, floats(8, 4, 3, 3), floats(8), pads=[1, 1, 1, 1], strides=[2, 2]),
    "Conv 1 dimension": case("Conv", M, floats(4, 3, 3)),
    "Conv 3 dimensions": case("Conv", floats(2, 2, 4, 5, 6), floats(3, 2, 2, 3, 2)),
    "ConvTranspose 1 dimension": case("ConvTranspose", M, floats(3, 4, 3), strides=[2]),
    "ConvTranspose groups": case(
        "ConvTranspose", X, floats(4, 3, 3, 3), floats(6), group=2, dilations=[2, 1]
    ),
    "Gemm": case("Gemm", floats(2, 4), floats(3, 4), floats(3), transB=1),
    "Gemm scaled": case("Gemm", floats(2, 4), floats(4, 3), floats(3), alpha=0.5, beta=2.0),
    "Gemm without bias": case("Gemm", floats(2, 4), floats(4, 3)),
    "MatMul": case("MatMul", M, floats(5, 4)),
    "MatMul of inputs": case("MatMul", [M, floats(2, 5, 4)]),
    "Einsum": case("Einsum", [M, floats(2, 4, 5)], equation="bij,bkj->bik"),
    "BatchNormalization": case(
        "BatchNormalization",
        X,
        *(floats(4), floats(4), floats(4), np.abs(floats(4))),
        epsilon=1e-3,
    ),
    "InstanceNormalization": case("InstanceNormalization", X, floats(4), floats(4)),
    "LayerNormalization": case("LayerNormalization", M, floats(5), floats(5)),
    "LayerNormalization of two axes": case(
        "LayerNormalization", M, floats(3, 5), axis=-2, epsilon=1e-3
    ),
    "GlobalAveragePool": case("GlobalAveragePool", X),
    "GlobalMaxPool": case("GlobalMaxPool", X),
    "MaxPool 1 dimension": case("MaxPool", M, kernel_shape=[2]),
    "MaxPool 3 dimensions": case("MaxPool", floats(2, 2, 4, 5, 6), kernel_shape=[2, 3, 2]),
    "AveragePool 1 dimension": case("AveragePool", M, kernel_shape=[2], strides=[2]),
    **{
        f"{kind} {name}": case(kind, POSITIVE, *arguments, **attributes)
        for kind in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2")
        for name, arguments, attributes in (
            ("of axes", [integers(2, -1)], {"keepdims": 0}),
            ("of everything", [], {}),
            ("of nothing", [], {"noop_with_empty_axes": 1}),
        )
    },
    "ReduceMean by attribute": case("ReduceMean", X, opset=13, axes=[2, 3], keepdims=0),
    "ArgMax": case("ArgMax", X, axis=1, keepdims=0),
    "TopK": case("TopK", M, integers(2), count=2),
    "TopK smallest": case("TopK", M, integers(2), count=2, axis=1, largest=0),
    "Shape": case("Shape", X, start=1, end=-1),
    "Size": sizes(
        node("Size", ["x"], ["size"]), node("Unsqueeze", ["size", "zero"], ["s"]), zero=integers(0)
    ),
    "Reshape": case("Reshape", X, integers(0, -1, 6)),
    "Reshape scalar to vector": chain(
        {"x": M},
        node("Reshape", ["w", "s"], ["v"]),
        node("Mul", ["x", "v"], ["y"]),
        w=np.array(2.0, np.float32),
        s=integers(1, 1),
    ),
    "Flatten": case("Flatten", X),
    "Flatten axis": case("Flatten", X, axis=-2),
    "Flatten axis 0": case("Flatten", X, axis=0),
    "Transpose": case("Transpose", X, perm=[0, 2, 3, 1]),
    "Transpose reversed": case("Transpose", M),
    "Squeeze": case("Squeeze", floats(2, 1, 3, 1), integers(1, -1)),
    "Squeeze everything": case("Squeeze", floats(2, 1, 3, 1)),
    "Squeeze by attribute": case("Squeeze", floats(2, 1, 3, 1), opset=11, axes=[1]),
    "Unsqueeze": case("Unsqueeze", M, integers(1, -1)),
    "Unsqueeze by attribute": case("Unsqueeze", M, opset=11, axes=[0, 4]),
    "Expand": case("Expand", floats(2, 1, 5), integers(1, 3, 1)),
    "Tile": case("Tile", M, integers(1, 2, 3)),
    "Concat": case("Concat", [X, POSITIVE], axis=-3),
    "Concat constant": chain(
        {"x": floats(2, 3)}, node("Concat", ["x", "w"], ["y"], axis=0), w=floats(1, 3)
    ),
    "Split": case("Split", X, integers(1, 3), count=2, axis=1),
    "Split evenly": case("Split", X, count=3, axis=2, num_outputs=3),
    "Split unevenly": case("Split", M, count=3, axis=2, num_outputs=3),
    "Split by attribute": case("Split", X, count=2, opset=11, axis=1, split=[3, 1]),
    "Slice by attributes": case("Slice", X, opset=9, starts=[1, -3], ends=[3, 100], axes=[1, 3]),
    "Gather": case("Gather", M, integers(0, -1, 1), axis=1),
    "Gather scalar": case("Gather", M, integers(2)[0].reshape(()), axis=2),
    "Gather matrix": case("Gather", M, integers([0, 1], [2, -3]), axis=-2),
    "Gather rows of weights": chain(
        {"x": integers([0, 3], [1, -1])}, node("Gather", ["w", "x"], ["y"]), w=floats(5, 4)
    ),
    "GatherElements": case("GatherElements", M, integers([[0, 1]], [[1, 2]]), axis=2),
    "GatherElements negative": case("GatherElements", M, integers([[0, -1]], [[-1, 2]]), axis=2),
    "GatherND": case("GatherND", M, integers([1, 2], [0, -1])),
    "GatherND of a batch": case("GatherND", [M, integers([[2], [0]], [[1], [-1]])], batch_dims=1),
    "GridSample": case("GridSample", [X, 1.3 * floats(2, 3, 5, 2)]),
    "GridSample at the edges": case(
        "GridSample", [X, floats(2, 3, 5, 2)], padding_mode="border", align_corners=1
    ),
    "ConstantOfShape": chain(
        {"x": X},
        node("Shape", ["x"], ["s"]),
        node("ConstantOfShape", ["s"], ["y"], value=helper.make_tensor("v", 1, [1], [0.5])),
    ),
    "ConstantOfShape zeros": chain(
        {"x": X}, node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["y"])
    ),
    "Range": chain(
        {"x": floats(2, 6)},
        node("Shape", ["x"], ["s"], start=1),
        node("Squeeze", ["s"], ["n"]),
        node("Range", ["zero", "n", "one"], ["r"]),
        node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
        node("Mul", ["x", "f"], ["y"]),
        zero=np.array(0, np.int64),
        one=np.array(1, np.int64),
    ),
    "DepthToSpace": case("DepthToSpace", X, blocksize=2),
    "DepthToSpace CRD": case("DepthToSpace", X, blocksize=2, mode="CRD"),
    "SpaceToDepth": case("SpaceToDepth", X, blocksize=3),
    **{
        f"Cast to {TensorProto.DataType.Name(kind)}": case("Cast", X * 10, to=kind)
        for kind in (
            *(TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT32, TensorProto.INT64),
            *(TensorProto.INT8, TensorProto.BOOL, TensorProto.INT16),
        )
    },
    "Cast of booleans": case("Cast", BOOLEANS, to=TensorProto.FLOAT),
    "Dropout": case("Dropout", X),
    # Sizes that are computed
    "sizes by Gather and Concat": sizes(
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"]),
        node("Unsqueeze", ["n", "zeros"], ["first"]),
        node("Concat", ["first", "rest"], ["s"], axis=0),
        zero=np.array(0, np.int64),
        zeros=integers(0),
        rest=integers(-1, 3),
    ),
    "sizes by Slice and arithmetic": sizes(
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "zeros", "twos"], ["first"]),
        node("Mul", ["first", "factor"], ["s"]),
        zeros=integers(0),
        twos=integers(2),
        factor=integers(1, 36),
    ),
    "sizes by Div and Cast": sizes(
        node("Shape", ["x"], ["shape"], start=1, end=2),
        node("Cast", ["shape"], ["i"], to=TensorProto.INT64),
        node("Div", ["i", "two"], ["half"]),
        node("Concat", ["all", "half", "two"], ["s"], axis=0),
        two=integers(2),
        all=integers(-1),
    ),
    "sizes by Where and Equal": sizes(
        node("Shape", ["x"], ["shape"], end=1),
        node("Concat", ["shape", "rest"], ["all"], axis=0),
        node("Equal", ["wanted", "minus"], ["keep"]),
        node("Where", ["keep", "all", "wanted"], ["s"]),
        rest=integers(12, 12),
        wanted=integers(-1, 12, 12),
        minus=integers(-1),
    ),
    # Quantization
    "QuantizeLinear uint8": case(
        "QuantizeLinear", X, np.array(0.02, np.float32), np.array(120, np.uint8)
    ),
    "QuantizeLinear int8": case(
        "QuantizeLinear", X, np.array(0.02, np.float32), np.array(3, np.int8)
    ),
    "QuantizeLinear without a zero point": case("QuantizeLinear", X, np.array(0.02, np.float32)),
    "DequantizeLinear after QuantizeLinear": chain(
        {"x": X},
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        scale=np.array(0.03, np.float32),
        zero=np.array(128, np.uint8),
    ),
    "DequantizeLinear of weights": chain(
        {"x": X},
        node("DequantizeLinear", ["w", "scale", "zero"], ["f"], axis=0),
        node("Conv", ["x", "f"], ["y"]),
        w=_RANDOM.integers(-127, 128, (5, 4, 3, 3)).astype(np.int8),
        scale=np.abs(floats(5)) * 0.01,
        zero=np.zeros(5, np.int8),
    ),
    "DequantizeLinear of biases": chain(
        {"x": X},
        node("DequantizeLinear", ["b", "scale"], ["f"]),
        node("Add", ["x", "f"], ["y"]),
        b=_RANDOM.integers(-1000, 1000, (4, 1, 1)).astype(np.int32),
        scale=np.array(1e-3, np.float32),
    ),
}
