"""Abstract graphs of networks: NCHW, with fixed shapes except for the batch size.

A graph has operations with ONNX's names and attributes, but no weights: layers refer to parameters
by their names in the public checkpoint, and normalization is part of a layer. `onnx_sink` writes a
graph with weights as an ONNX model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from .weights import Kind, Parameter

__all__ = [
    "FLOAT",
    "INT64",
    "Activation",
    "Constant",
    "Graph",
    "Implicit",
    "Info",
    "Kernel",
    "Layer",
    "Node",
    "Norm",
    "Padding",
    "Value",
]

FLOAT, INT64 = 1, 7
"""Element types of inputs and outputs, with ONNX's numbers."""

Activation = Literal["gelu", "hard_swish", "leaky", "relu", "relu6", "sigmoid", "swish"]
Padding = Literal["same", "half", "valid"] | int


class Value(NamedTuple):
    """A tensor in the graph.

    Attributes:
        name: Name in the ONNX graph.
        shape: Shape without the batch dimension, which always comes first.
    """

    name: str
    shape: tuple[int, ...]


class Constant(NamedTuple):
    """A constant of the graph, which is not trained.

    Attributes:
        name: Its name.
        array: Its value.
    """

    name: str
    array: npt.NDArray[Any]


@dataclass(frozen=True)
class Kernel:
    """Weights of a layer, and how they are rearranged to the layout that the operation takes.

    Attributes:
        parameter: The weights in the checkpoint.
        order: Permutation of their axes, if any.
        split: Shape to give them before the permutation, if any.
        joined: Shape to give them after the permutation, if any.
        rows: Begin and end of the part of the first axis that is used, if not all of it; it is
            taken before everything else.
    """

    parameter: Parameter
    order: tuple[int, ...] | None = None
    split: tuple[int, ...] | None = None
    joined: tuple[int, ...] | None = None
    rows: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that the operation takes."""
        shape = self.parameter.shape
        if self.rows is not None:
            shape = (self.rows[1] - self.rows[0], *shape[1:])
        shape = self.split or shape
        shape = shape if self.order is None else tuple(shape[axis] for axis in self.order)
        return self.joined or shape

    def rearranged(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array of the checkpoint in the layout that the operation takes."""
        array = array if self.rows is None else array[slice(*self.rows)]
        array = array if self.split is None else array.reshape(self.split)
        array = array if self.order is None else array.transpose(self.order)
        return array if self.joined is None else array.reshape(self.joined)


class Norm(NamedTuple):
    """Batch normalization of a layer's result.

    Attributes:
        gamma: Factors of the channels, (C,).
        beta: Offsets of the channels, (C,).
        mean: Running means, (C,).
        variance: Running variances, (C,).
        epsilon: Constant that the network adds to the variance.
        momentum: Part of the running statistics that a training step keeps.
    """

    gamma: Parameter
    beta: Parameter
    mean: Parameter
    variance: Parameter
    epsilon: float
    momentum: float

    @property
    def parameters(self) -> tuple[Parameter, Parameter, Parameter, Parameter]:
        """Gamma, beta, mean and variance."""
        return self.gamma, self.beta, self.mean, self.variance

    @classmethod
    def of(
        cls,
        scope: str,
        names: tuple[str, str, str, str],
        channels: int,
        *,
        epsilon: float,
        momentum: float,
    ) -> Norm:
        """Return the normalization whose parameters have the names `{scope}{name}`."""
        kinds = (Kind.GAMMA, Kind.BETA, Kind.MEAN, Kind.VARIANCE)
        gamma, beta, mean, variance = (
            Parameter(f"{scope}{name}", (channels,), kind)
            for name, kind in zip(names, kinds, strict=True)
        )
        return cls(gamma, beta, mean, variance, epsilon, momentum)


class Implicit(NamedTuple):
    """Learned constants around a layer: Wang et al., "You only learn one representation" (2021).

    Attributes:
        shift: Addend of the layer's input, (1, C, 1, 1).
        scale: Factor of its result, (1, O, 1, 1).
    """

    shift: Parameter
    scale: Parameter


@dataclass(frozen=True)
class Layer:
    """What a convolution or fully connected layer learns.

    Attributes:
        kernel: Its weights.
        bias: Its bias, (O,), if any: a parameter, or a part of one.
        norm: Normalization of its result, if any.
        implicit: Learned constants around it, if any.
        parallel: A normalized 1x1 convolution of the same input, if any, whose result is added; the
            layer itself is normalized, too, and has a stride of 1.
    """

    kernel: Kernel
    bias: Parameter | Kernel | None = None
    norm: Norm | None = None
    implicit: Implicit | None = None
    parallel: Layer | None = None

    def parameters(self) -> Iterator[Parameter]:
        """Yield all parameters of the layer."""
        yield self.kernel.parameter
        if self.norm is not None:
            yield from self.norm.parameters
        if self.bias is not None:
            yield self.bias.parameter if isinstance(self.bias, Kernel) else self.bias
        if self.implicit is not None:
            yield from self.implicit
        if self.parallel is not None:
            yield from self.parallel.parameters()


class Node(NamedTuple):
    """An operation.

    Attributes:
        type: Its type in ONNX.
        name: Name of the node and of its result.
        inputs: Names of results, constants, and parameters that the operation takes as they are.
        attributes: Attributes, as in ONNX.
        layer: What a `Conv`, `Gemm` or `MatMul` learns; its inputs follow `inputs`.
        outputs: Names of all outputs of the operation, if it has others than its result.
    """

    type: str
    name: str
    inputs: Sequence[str | Constant | Parameter]
    attributes: Mapping[str, Any]
    layer: Layer | None = None
    outputs: Sequence[str] = ()

    def single_layers(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layer of the node, and one parallel to it, by their names in training."""
        if self.layer is None:
            return
        if self.layer.parallel is None:
            yield self.name, self.layer
            return
        yield f"{self.name}/main", self.layer
        yield f"{self.name}/parallel", self.layer.parallel


class Info(NamedTuple):
    """An input or output of the graph.

    Attributes:
        name: Its name.
        shape: Its shape without the batch dimension.
        type: Element type, `FLOAT` or `INT64`.
    """

    name: str
    shape: tuple[int, ...]
    type: int


class Graph:
    """An abstract graph under construction.

    Every method that adds an operation takes the name of its result. The node and its constants are
    named after it, so that names are stable and show the position in the network.

    Args:
        name: Name of the graph.
        batch_size: First dimension of every input and output, or None for a symbolic one.

    Attributes:
        name: Name of the graph.
        batch_size: First dimension of every input and output, or None for a symbolic one.
        nodes: The operations in order.
        inputs: The inputs.
        outputs: The outputs.
        renamed: Name of each output by the name of the node that computes it.
        auxiliary: Outputs that only training needs.
        stopped: Names of the nodes whose results have no gradient in training.
    """

    def __init__(self, name: str, batch_size: int | None = None) -> None:
        self.name = name
        self.batch_size = batch_size
        self.nodes: list[Node] = []
        self.inputs: list[Info] = []
        self.outputs: list[Info] = []
        self.renamed: dict[str, str] = {}
        self.auxiliary: list[Info] = []
        self.stopped: set[str] = set()

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of all operations by name."""
        found: dict[str, Parameter] = {}
        for node in self.nodes:
            own = [each for each in node.inputs if isinstance(each, Parameter)]
            layer = () if node.layer is None else node.layer.parameters()
            found |= {each.name: each for each in (*layer, *own)}
        return found

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """Add an input of the graph; `shape` has no batch dimension."""
        self.inputs.append(Info(name, shape, FLOAT))
        return Value(name, shape)

    def embedding(self, parameter: Parameter, name: str) -> Value:
        """Return a parameter as a value, which is the same for every item of a batch.

        Its batch dimension is 1 until it meets a value that depends on the input.
        """
        axes = Constant(f"{name}/axes", np.array([0], np.int64))
        return self._add("Unsqueeze", [parameter, axes], name, parameter.shape)

    def output(
        self, value: Value, name: str, dtype: int = FLOAT, *, auxiliary: bool = False
    ) -> None:
        """Make `value` an output of the graph, under `name`.

        Args:
            value: The value, which has no other name as an output.
            name: Its name.
            dtype: Its element type.
            auxiliary: Whether only training needs it; such outputs follow all others.
        """
        self.renamed[value.name] = name
        outputs = self.auxiliary if auxiliary else self.outputs
        outputs.append(Info(name, value.shape, dtype))

    def stop_gradient(self, x: Value, name: str) -> Value:
        """Return `x`, through which training does not propagate gradients."""
        self.stopped.add(name)
        return self._add("Identity", [x.name], name, x.shape)

    def conv(
        self,
        x: Value,
        layer: Layer,
        name: str,
        *,
        stride: int = 1,
        padding: Padding = "same",
        groups: int = 1,
        dilation: int = 1,
    ) -> Value:
        """Add a convolution of `x` (C, H, W) with a kernel (O, C / groups, kh, kw).

        With a dilation, neighboring elements of the kernel are that many pixels apart.
        """
        channels, _, *size = layer.kernel.shape
        reach = tuple((length - 1) * dilation + 1 for length in size)
        pads, spatial = _window(x.shape[1:], reach, stride, padding)
        attributes = {} if dilation == 1 else {"dilations": (dilation, dilation)}
        return self._add(
            "Conv",
            [x.name],
            name,
            (channels, *spatial),
            layer,
            **attributes,
            group=groups,
            kernel_shape=tuple(size),
            pads=pads,
            strides=(stride, stride),
        )

    def conv_transpose(self, x: Value, layer: Layer, name: str, *, stride: int) -> Value:
        """Add a transposed convolution of `x` (C, H, W) with a kernel (C, O, stride, stride).

        Each pixel becomes a square of `stride` pixels; these do not overlap.
        """
        _, channels, *size = layer.kernel.shape
        if size != [stride, stride]:
            msg = f"{name}: expected a kernel of {stride} x {stride}, as the stride, got {size}"
            raise ShapeError(msg)
        return self._add(
            "ConvTranspose",
            [x.name],
            name,
            (channels, *(stride * length for length in x.shape[1:])),
            layer,
            kernel_shape=tuple(size),
            strides=(stride, stride),
        )

    def gemm(self, x: Value, layer: Layer, name: str) -> Value:
        """Add a fully connected layer of `x` (C,) with a kernel (O, C)."""
        return self._add("Gemm", [x.name], name, (layer.kernel.shape[0],), layer, transB=1)

    def linear(self, x: Value, layer: Layer, name: str) -> Value:
        """Add a fully connected layer of the last axis of `x` (..., C) with a kernel (C, O)."""
        return self._add("MatMul", [x.name], name, (*x.shape[:-1], layer.kernel.shape[1]), layer)

    def matmul(self, x: Value, y: Value, name: str) -> Value:
        """Multiply the matrices of the last two axes of `x` (..., M, K) and `y` (..., K, N)."""
        shape = (*x.shape[:-1], y.shape[-1])
        return self._add("MatMul", [x.name, y.name], name, shape)

    def layer_norm(
        self, x: Value, gamma: Parameter, beta: Parameter, name: str, *, epsilon: float
    ) -> Value:
        """Normalize the last axis of `x`, then scale it by `gamma` and shift it by `beta`."""
        inputs = (x.name, gamma, beta)
        return self._add("LayerNormalization", inputs, name, x.shape, axis=-1, epsilon=epsilon)

    def activate(self, x: Value, activation: Activation, name: str) -> Value:
        """Apply an activation to `x`.

        Swish is `x * sigmoid(x)`, GELU the exact one, and leaky a ReLU of slope 0.1.
        """
        if activation == "gelu":  # in the form that runtimes recognize
            wide = self.scale(x, 1 / math.sqrt(2), f"{name}/scaled")
            wide = self._add("Erf", [wide.name], f"{name}/erf", x.shape)
            wide = self._add("Add", [wide.name, _scalar("one", 1.0)], f"{name}/shifted", x.shape)
            return self.scale(self.multiply(x, wide, f"{name}/product"), 0.5, name)
        if activation == "swish":
            return self.multiply(x, self.activate(x, "sigmoid", f"{name}/sigmoid"), name)
        if activation == "hard_swish":
            return self._add("HardSwish", [x.name], name, x.shape)
        if activation == "relu6":
            limits = [_scalar("zero", 0.0), _scalar("six", 6.0)]
            return self._add("Clip", [x.name, *limits], name, x.shape)
        if activation == "leaky":
            return self._add("LeakyRelu", [x.name], name, x.shape, alpha=0.1)
        return self._add(activation.capitalize(), [x.name], name, x.shape)

    def add(self, x: Value, y: Value, name: str) -> Value:
        """Add `y` to `x`; the dimensions of `y` are equal or 1."""
        return self._add("Add", [x.name, y.name], name, x.shape)

    def multiply(self, x: Value, y: Value, name: str) -> Value:
        """Multiply `x` by `y`, whose dimensions are equal or 1."""
        return self._add("Mul", [x.name, y.name], name, x.shape)

    def scale(self, x: Value, factor: npt.ArrayLike | Parameter, name: str) -> Value:
        """Multiply `x` by a constant or a parameter, whose dimensions are equal or 1."""
        if not isinstance(factor, Parameter):
            return self._add("Mul", [x.name, _constant(name, "factor", factor)], name, x.shape)
        return self._add("Mul", [x.name, factor], name, x.shape)

    def shift(self, x: Value, addend: npt.ArrayLike | Parameter, name: str) -> Value:
        """Add a constant or a parameter to `x`, whose dimensions are equal or 1."""
        if not isinstance(addend, Parameter):
            return self._add("Add", [x.name, _constant(name, "addend", addend)], name, x.shape)
        return self._add("Add", [x.name, addend], name, x.shape)

    def negatives(self, x: Value, name: str) -> Value:
        """Return -1 where `x` is negative, else 0; the gradient is 0."""
        sign = self._add("Sign", [x.name], f"{name}/sign", x.shape)
        return self.clip(sign, -1.0, 0.0, name)

    def clip(self, x: Value, low: float, high: float, name: str) -> Value:
        """Limit the values of `x`."""
        limits = [_constant(name, "low", low), _constant(name, "high", high)]
        return self._add("Clip", [x.name, *limits], name, x.shape)

    def pad(self, x: Value, edges: tuple[int, int, int, int], name: str) -> Value:
        """Pad `x` (C, H, W) with zeros: rows above, columns at the left, below, at the right."""
        top, left, bottom, right = edges
        pads = Constant(f"{name}/pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        channels, height, width = x.shape
        shape = (channels, top + height + bottom, left + width + right)
        return self._add("Pad", [x.name, pads], name, shape)

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

    def average_pool(
        self, x: Value, size: int, name: str, *, stride: int, padding: Padding = "same"
    ) -> Value:
        """Add average pooling of `x` (C, H, W); padding counts as zeros, as in PyTorch."""
        pads, spatial = _window(x.shape[1:], (size, size), stride, padding)
        return self._add(
            "AveragePool",
            [x.name],
            name,
            (x.shape[0], *spatial),
            count_include_pad=1,
            kernel_shape=(size, size),
            pads=pads,
            strides=(stride, stride),
        )

    def global_average_pool(self, x: Value, name: str) -> Value:
        """Average `x` (C, H, W) over its pixels, to (C, 1, 1)."""
        return self._add("GlobalAveragePool", [x.name], name, (x.shape[0], 1, 1))

    def resize_nearest(self, x: Value, scale: int, name: str) -> Value:
        """Repeat every pixel of `x` (C, H, W) `scale` times in both directions."""
        factors = Constant(f"{name}/scales", np.array([1, 1, scale, scale], np.float32))
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

    def resize_linear(
        self, x: Value, size: tuple[int, int], name: str, *, align_corners: bool = False
    ) -> Value:
        """Resize `x` (C, H, W) bilinearly to a height and width, without antialiasing.

        Args:
            x: The value.
            size: Height and width.
            name: Name of the result.
            align_corners: Whether corner pixels stay in the corners, as in TensorFlow and PyTorch.
        """
        channels, *before = x.shape
        # Factors rather than sizes, so that the batch may have any size.
        factors = [new / old for new, old in zip(size, before, strict=True)]
        scales = Constant(f"{name}/scales", np.array([1, 1, *factors], np.float32))
        mode = "align_corners" if align_corners else "half_pixel"
        return self._add(
            "Resize",
            [x.name, "", scales],
            name,
            (channels, *size),
            coordinate_transformation_mode=mode,
            mode="linear",
        )

    def brightness(self, x: Value, name: str) -> Value:
        """Divide `x` (C, H, W) by its largest element, or by 1e-6 if that is smaller."""
        most = self._add(
            "ReduceMax", [x.name], f"{name}/max", (1, 1, 1), axes=(1, 2, 3), keepdims=1
        )
        least = _scalar("least", 1e-6)
        most = self._add("Max", [most.name, least], f"{name}/positive", (1, 1, 1))
        return self._add("Div", [x.name, most.name], name, x.shape)

    def standardize(
        self, x: Value, mean: Sequence[float], std: Sequence[float], name: str
    ) -> Value:
        """Subtract a mean from each channel of `x` (C, H, W), and divide it by a deviation."""
        means, stds = (np.array(each, np.float32).reshape(1, -1, 1, 1) for each in (mean, std))
        centered = self._add(
            "Sub", [x.name, Constant(f"{name}/mean", means)], f"{name}/mean/sub", x.shape
        )
        return self._add("Div", [centered.name, Constant(f"{name}/std", stds)], name, x.shape)

    def slice(self, x: Value, axis: int, begin: int, end: int, name: str) -> Value:
        """Return the part of `x` from `begin` to `end`; `axis` does not count the batch."""
        shape = list(x.shape)
        shape[axis] = end - begin
        bounds = [
            Constant(f"{name}/{part}", np.array([value], np.int64))
            for part, value in (("begin", begin), ("end", end), ("axis", axis + 1))
        ]
        return self._add("Slice", [x.name, *bounds], name, tuple(shape))

    def sum_last(self, x: Value, name: str) -> Value:
        """Sum `x` over its last axis."""
        axes = Constant(f"{name}/axes", np.array([-1], np.int64))
        return self._add("ReduceSum", [x.name, axes], name, x.shape[:-1], keepdims=0)

    def max_last(self, x: Value, name: str) -> Value:
        """Return the largest value of the last axis of `x`."""
        return self._add("ReduceMax", [x.name], name, x.shape[:-1], axes=[-1], keepdims=0)

    def top_k(self, x: Value, count: int, name: str) -> Value:
        """Return the int64 indices of the `count` largest values of `x` (N,), largest first."""
        size = Constant(f"{name}/count", np.array([count], np.int64))
        outputs = [f"{name}/values", name]
        self.nodes.append(Node("TopK", name, [x.name, size], {"axis": -1}, outputs=outputs))
        return Value(name, (count,))

    def top_values(self, x: Value, count: int, name: str) -> Value:
        """Return the `count` largest values of the last axis of `x`, largest first."""
        size = Constant(f"{name}/count", np.array([count], np.int64))
        outputs = [name, f"{name}/indices"]
        self.nodes.append(Node("TopK", name, [x.name, size], {"axis": -1}, outputs=outputs))
        return Value(name, (*x.shape[:-1], count))

    def mean_last(self, x: Value, name: str) -> Value:
        """Average `x` over its last axis, which remains with a size of 1."""
        shape = (*x.shape[:-1], 1)
        return self._add("ReduceMean", [x.name], name, shape, axes=[-1], keepdims=1)

    def take(self, rows: npt.NDArray[Any], indices: Value, name: str) -> Value:
        """Return the rows of a constant (N, ...) at `indices` (K,)."""
        table = Constant(f"{name}/rows", rows)
        shape = (*indices.shape, *rows.shape[1:])
        return self._add("Gather", [table, indices.name], name, shape, axis=0)

    def gather(self, x: Value, indices: Value, name: str) -> Value:
        """Return the rows of `x` (N, C) at `indices` (K,), which every item of a batch has."""
        axes = Constant(f"{name}/axes", np.array([-1], np.int64))
        places = self._add("Unsqueeze", [indices.name, axes], f"{name}/places", (*indices.shape, 1))
        shape = (*indices.shape, *x.shape[1:])
        return self._add("GatherND", [x.name, places.name], name, shape, batch_dims=1)

    def fold(self, x: Value, name: str) -> Value:
        """Make the first axis of `x` a part of the batch dimension."""
        target = Constant(f"{name}/shape", np.array([-1, *x.shape[1:]], np.int64))
        return self._add("Reshape", [x.name, target], name, x.shape[1:])

    def unfold(self, x: Value, count: int, name: str) -> Value:
        """Undo `fold`: separate a first axis of `count` from the batch dimension."""
        target = Constant(f"{name}/shape", np.array([-1, count, *x.shape], np.int64))
        return self._add("Reshape", [x.name, target], name, (count, *x.shape))

    def grid_sample(self, x: Value, grid: Value, name: str) -> Value:
        """Read `x` (C, H, W) at the points `grid` (h, w, 2), which are x and y in -1..1.

        Values between pixels are interpolated bilinearly, those outside are 0; -1 and 1 are the
        outer edges of the map, as in PyTorch with `align_corners=False`.
        """
        shape = (x.shape[0], *grid.shape[:2])
        return self._add(
            "GridSample",
            [x.name, grid.name],
            name,
            shape,
            align_corners=0,
            mode="bilinear",
            padding_mode="zeros",
        )

    def concat(self, values: Sequence[Value], name: str, *, axis: int = 0) -> Value:
        """Concatenate values; `axis` does not count the batch dimension."""
        shape = list(values[0].shape)
        shape[axis] = sum(value.shape[axis] for value in values)
        names = [value.name for value in values]
        return self._add("Concat", names, name, tuple(shape), axis=axis + 1)

    def reshape(self, x: Value, shape: tuple[int, ...], name: str) -> Value:
        """Reshape `x`, keeping the batch dimension."""
        target = Constant(f"{name}/shape", np.array([0, *shape], np.int64))
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
        offset = Constant(f"{name}/first", np.array(first, np.int64))
        return self._add("Add", [index.name, offset], name, ())

    def _add(
        self,
        kind: str,
        inputs: Sequence[str | Constant | Parameter],
        name: str,
        shape: tuple[int, ...],
        layer: Layer | None = None,
        **attributes: Any,
    ) -> Value:
        self.nodes.append(Node(kind, name, inputs, attributes, layer))
        return Value(name, shape)


def _scalar(name: str, value: float) -> Constant:
    """Return a scalar constant, which all operations share."""
    return Constant(f"constant/{name}", np.array(value, np.float32))


def _constant(name: str, part: str, value: npt.ArrayLike) -> Constant:
    """Return a constant of an operation."""
    return Constant(f"{name}/{part}", np.asarray(value, np.float32))


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
