"""Builder of ONNX graphs: float32, NCHW, with fixed shapes except for the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .weights import FloatArray

__all__ = ["Activation", "Graph", "Padding", "Value"]

OPSET = 17
IR_VERSION = 8

Activation = Literal["relu", "relu6", "sigmoid", "swish"]
Padding = Literal["same", "half", "valid"] | int


class Value(NamedTuple):
    """A tensor in the graph.

    Attributes:
        name: Name in the ONNX graph.
        shape: Shape without the batch dimension, which always comes first.
    """

    name: str
    shape: tuple[int, ...]


class Graph:
    """An ONNX graph under construction.

    Every method that adds an operation takes the name of its result. The node, its output and its
    initializers are named after it, so that names are stable and show the position in the network.

    Args:
        name: Name of the graph.
        batch_size: First dimension of every input and output, or None for a symbolic one named
            `batch`.
    """

    def __init__(self, name: str, batch_size: int | None = None) -> None:
        self._name = name
        self._batch = "batch" if batch_size is None else batch_size
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._renamed: dict[str, str] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """Add an input of the graph; `shape` has no batch dimension."""
        self._inputs.append(self._info(name, shape))
        return Value(name, shape)

    def output(self, value: Value, name: str, dtype: int = onnx.TensorProto.FLOAT) -> None:
        """Make `value` an output of the graph; the finished model has it under `name`."""
        self._renamed[value.name] = name
        self._outputs.append(self._info(name, value.shape, dtype))

    def model(self) -> onnx.ModelProto:
        """Return the finished model."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [self._renamed.get(name, name) for name in names]
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._constants.values())
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="furiosa_models"
        )

    def conv(
        self,
        x: Value,
        kernel: FloatArray,
        bias: FloatArray | None,
        name: str,
        *,
        stride: int = 1,
        padding: Padding = "same",
        groups: int = 1,
    ) -> Value:
        """Add a convolution of `x` (C, H, W), `kernel` (O, C / groups, kh, kw) and `bias` (O,)."""
        size = kernel.shape[2:]
        pads, spatial = _window(x.shape[1:], size, stride, padding)
        inputs = [x.name, self._constant(f"{name}/kernel", kernel)]
        if bias is not None:
            inputs.append(self._constant(f"{name}/bias", bias))
        shape = (kernel.shape[0], *spatial)
        return self._add(
            "Conv",
            inputs,
            name,
            shape,
            group=groups,
            kernel_shape=size,
            pads=pads,
            strides=(stride, stride),
        )

    def gemm(self, x: Value, kernel: FloatArray, bias: FloatArray, name: str) -> Value:
        """Add a fully connected layer of `x` (C,), `kernel` (O, C) and `bias` (O,)."""
        inputs = [
            x.name,
            self._constant(f"{name}/kernel", kernel),
            self._constant(f"{name}/bias", bias),
        ]
        return self._add("Gemm", inputs, name, (kernel.shape[0],), transB=1)

    def activate(self, x: Value, activation: Activation, name: str) -> Value:
        """Apply an activation to `x`; swish is `x * sigmoid(x)`."""
        if activation == "swish":
            return self.multiply(x, self.activate(x, "sigmoid", f"{name}/sigmoid"), name)
        if activation == "relu6":
            limits = [self._scalar("zero", 0.0), self._scalar("six", 6.0)]
            return self._add("Clip", [x.name, *limits], name, x.shape)
        return self._add(activation.capitalize(), [x.name], name, x.shape)

    def add(self, x: Value, y: Value, name: str) -> Value:
        """Add two values of the same shape."""
        return self._add("Add", [x.name, y.name], name, x.shape)

    def multiply(self, x: Value, y: Value, name: str) -> Value:
        """Multiply `x` by `y`, whose dimensions are equal or 1."""
        return self._add("Mul", [x.name, y.name], name, x.shape)

    def max_pool(
        self, x: Value, size: int, name: str, *, stride: int, padding: Padding = "same"
    ) -> Value:
        """Add max pooling of `x` (C, H, W); padding counts as minus infinity."""
        pads, spatial = _window(x.shape[1:], (size, size), stride, padding)
        return self._add(
            "MaxPool",
            [x.name],
            name,
            (x.shape[0], *spatial),
            kernel_shape=(size, size),
            pads=pads,
            strides=(stride, stride),
        )

    def global_average_pool(self, x: Value, name: str) -> Value:
        """Average `x` (C, H, W) over its pixels, to (C, 1, 1)."""
        return self._add("GlobalAveragePool", [x.name], name, (x.shape[0], 1, 1))

    def resize_nearest(self, x: Value, scale: int, name: str) -> Value:
        """Repeat every pixel of `x` (C, H, W) `scale` times in both directions."""
        factors = self._constant(f"{name}/scales", np.array([1, 1, scale, scale], np.float32))
        channels, height, width = x.shape
        return self._add(
            "Resize",
            [x.name, "", factors],
            name,
            (channels, scale * height, scale * width),
            coordinate_transformation_mode="asymmetric",
            mode="nearest",
            nearest_mode="floor",
        )

    def concat(self, values: Sequence[Value], name: str, *, axis: int = 0) -> Value:
        """Concatenate values; `axis` does not count the batch dimension."""
        shape = list(values[0].shape)
        shape[axis] = sum(value.shape[axis] for value in values)
        names = [value.name for value in values]
        return self._add("Concat", names, name, tuple(shape), axis=axis + 1)

    def reshape(self, x: Value, shape: tuple[int, ...], name: str) -> Value:
        """Reshape `x`, keeping the batch dimension."""
        target = self._constant(f"{name}/shape", np.array([0, *shape], np.int64))
        return self._add("Reshape", [x.name, target], name, shape)

    def transpose(self, x: Value, order: tuple[int, ...], name: str) -> Value:
        """Permute the dimensions of `x`; `order` does not count the batch dimension."""
        perm = (0, *(axis + 1 for axis in order))
        return self._add(
            "Transpose", [x.name], name, tuple(x.shape[axis] for axis in order), perm=perm
        )

    def softmax(self, x: Value, name: str) -> Value:
        """Apply softmax over the last dimension."""
        return self._add("Softmax", [x.name], name, x.shape, axis=-1)

    def argmax(self, x: Value, name: str, *, first: int = 0) -> Value:
        """Add the int64 index of the largest element of `x` (C,), counted from `first`."""
        index = self._add("ArgMax", [x.name], f"{name}/index", (), axis=1, keepdims=0)
        offset = self._constant(f"{name}/first", np.array(first, np.int64))
        return self._add("Add", [index.name, offset], name, ())

    def _add(
        self,
        op: str,
        inputs: list[str],
        name: str,
        shape: tuple[int, ...],
        **attributes: Any,
    ) -> Value:
        self._nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return Value(name, shape)

    def _constant(self, name: str, array: np.ndarray) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _scalar(self, name: str, value: float) -> str:
        """Return the name of a scalar constant, which all operations share."""
        return self._constant(f"constant/{name}", np.array(value, np.float32))

    def _info(
        self, name: str, shape: tuple[int, ...], dtype: int = onnx.TensorProto.FLOAT
    ) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, dtype, [self._batch, *shape])


def _window(
    shape: tuple[int, ...], size: tuple[int, ...], stride: int, padding: Padding
) -> tuple[list[int], tuple[int, ...]]:
    """Return the padding (begins, then ends) and output size of a sliding window over (H, W).

    `"same"` is TensorFlow's padding: the output size is `ceil(size / stride)`, and an odd pixel of
    padding is at the end. `"half"` is the padding of PyTorch's networks: half a window on every
    side, for every stride.
    """
    if padding == "same":
        outputs = [math.ceil(extent / stride) for extent in shape]
        totals = [
            max(0, (out - 1) * stride + window - extent)
            for out, window, extent in zip(outputs, size, shape, strict=True)
        ]
    else:
        fixed = 0 if padding == "valid" else padding
        totals = [2 * (window // 2 if fixed == "half" else fixed) for window in size]
        outputs = [
            (extent + total - window) // stride + 1
            for extent, total, window in zip(shape, totals, size, strict=True)
        ]
    begins = [total // 2 for total in totals]
    return begins + [total - begin for total, begin in zip(totals, begins, strict=True)], (
        *outputs,
    )
