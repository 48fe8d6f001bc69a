"""Layers that networks share, with parameters under the names of the checkpoints.

Batch normalization is folded into the convolution before it. ONNX Runtime would fold it as well:
sessions of SSD MobileNet v2 start and run equally fast either way. Folding here is done in float64,
and leaves two thirds of the nodes and well under half of the tensors for quantizers, compilers and
people to look at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ShapeError
from .graph import Activation, Graph, Padding, Value
from .weights import FloatArray, Kind, Parameter, Weights

__all__ = [
    "SLIM",
    "STEM_GAIN",
    "TENSORFLOW_EPSILON",
    "TORCH",
    "YOLO_EPSILON",
    "Slim",
    "TorchLayers",
    "YoloLayers",
    "image_shape",
    "normalized_kernel",
]

TENSORFLOW_EPSILON = 0.001
"""What TensorFlow's detection networks and EfficientNets add to the variance."""

# How checkpoints name gamma, beta, mean and variance below a layer's scope.
SLIM = (
    "/BatchNorm/gamma",
    "/BatchNorm/beta",
    "/BatchNorm/moving_mean",
    "/BatchNorm/moving_variance",
)
TORCH = (".weight", ".bias", ".running_mean", ".running_var")

_KINDS = (Kind.GAMMA, Kind.BETA, Kind.MEAN, Kind.VARIANCE)


def normalized_kernel(
    kernel: FloatArray,
    weights: Weights,
    scope: str,
    names: tuple[str, str, str, str],
    epsilon: float,
) -> tuple[FloatArray, FloatArray]:
    """Kernel (O, I, kh, kw) and bias (O,) of a convolution and the normalization behind it.

    Args:
        kernel: Kernel of the convolution, (O, I, kh, kw); it has no bias of its own.
        weights: Source of the normalization's parameters.
        scope: Prefix of their names.
        names: Suffixes of gamma, beta, mean and variance.
        epsilon: What the checkpoint's network adds to the variance.
    """
    shape = kernel.shape[:1]
    gamma, beta, mean, variance = (
        weights.get(Parameter(f"{scope}{name}", shape, kind)).astype(np.float64)
        for name, kind in zip(names, _KINDS, strict=True)
    )
    scale = gamma / np.sqrt(variance + epsilon)
    folded = kernel.astype(np.float64) * scale[:, None, None, None]
    return folded.astype(np.float32), (beta - mean * scale).astype(np.float32)


_GAINS = {"relu": 2.0, "relu6": 2.0, "swish": 2.4}


class TorchLayers:
    """Layers that take their parameters from `weights` by module name.

    Args:
        graph: Where the layers are added.
        weights: Parameters under the names of the state dict.
        epsilon: What the network's batch normalization adds to the variance.
        padding: How the network pads its convolutions.
    """

    def __init__(
        self, graph: Graph, weights: Weights, epsilon: float, *, padding: Padding = "half"
    ) -> None:
        self._graph = graph
        self._weights = weights
        self._epsilon = epsilon
        self._padding = padding

    def conv(
        self,
        x: Value,
        name: str,
        channels: int,
        size: int = 1,
        *,
        norm: str | None = None,
        activation: Activation | None = None,
        stride: int = 1,
        groups: int = 1,
        padding: Padding | None = None,
        gain: float | None = None,
    ) -> Value:
        """Convolution with the normalization named `norm`, or else with a bias; activation.

        `gain` is the kernel's in random weights (see `Parameter`); by default it makes up for
        what the activation takes away.
        """
        shape = (channels, x.shape[0] // groups, size, size)
        gain = gain or (_GAINS.get(activation, 1.0) if activation else 1.0)
        parameter = Parameter(f"{name}.weight", shape, fan_in=math.prod(shape[1:]), gain=gain)
        kernel = self._weights.get(parameter)
        if norm is None:
            bias = self._weights.get(Parameter(f"{name}.bias", (channels,), Kind.BIAS))
        else:
            kernel, bias = normalized_kernel(kernel, self._weights, norm, TORCH, self._epsilon)
        padding = self._padding if padding is None else padding
        x = self._graph.conv(x, kernel, bias, name, stride=stride, groups=groups, padding=padding)
        return x if activation is None else self._graph.activate(x, activation, f"{name}/act")

    def linear(self, x: Value, name: str, features: int) -> Value:
        """Fully connected layer on `x` (C,)."""
        shape = (features, *x.shape)
        kernel = self._weights.get(Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=1.0))
        bias = self._weights.get(Parameter(f"{name}.bias", (features,), Kind.BIAS))
        return self._graph.gemm(x, kernel, bias, name)

    def classifier(self, x: Value, name: str, num_classes: int) -> Value:
        """Logits (num_classes,) of a fully connected layer on the means of `x` (C, H, W)."""
        means = self._graph.global_average_pool(x, f"{name}/pool")
        return self.linear(
            self._graph.reshape(means, x.shape[:1], f"{name}/flatten"), name, num_classes
        )

    def excite(self, x: Value, name: str, gates: tuple[str, str], squeezed: int) -> Value:
        """Squeeze-and-excitation: `x` with each channel scaled by a gate on all their means.

        Args:
            x: Features (C, H, W).
            name: Prefix of the nodes' names.
            gates: Names of the two layers that compute the gate, from means to `squeezed`
                channels and back.
            squeezed: Number of channels between them.
        """
        gate = self._graph.global_average_pool(x, f"{name}/squeeze")
        gate = self.conv(gate, gates[0], squeezed, activation="swish")
        gate = self.conv(gate, gates[1], x.shape[0], activation="sigmoid")
        return self._graph.multiply(x, gate, f"{name}/excite")


_ANCHORS = (3, 6, 6, 6, 6, 6)
_EXTRA_DEPTHS = (512, 256, 256, 128)


class Slim:
    """Layers that take their parameters from `weights` by scope.

    Args:
        graph: Where the layers are added.
        weights: Parameters under the names of TensorFlow's checkpoints.
    """

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self._graph = graph
        self._weights = weights

    def conv(
        self,
        x: Value,
        scope: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        linear: bool = False,
    ) -> Value:
        """Convolution, batch normalization and, unless `linear`, ReLU6."""
        kernel = self._kernel(f"{scope}/weights", (size, size, x.shape[0], channels), linear)
        return self._normalized(x, kernel.transpose(3, 2, 0, 1), scope, stride, 1, linear)

    def depthwise(self, x: Value, scope: str, *, stride: int = 1) -> Value:
        """Depthwise 3x3 convolution, batch normalization, ReLU6."""
        channels = x.shape[0]
        kernel = self._kernel(f"{scope}/depthwise_weights", (3, 3, channels, 1), False)
        return self._normalized(x, kernel.transpose(2, 3, 0, 1), scope, stride, channels, False)

    def extra_maps(
        self, x: Value, scope: str, depth: Callable[[int], int], *, depthwise: bool
    ) -> list[Value]:
        """The four feature maps behind the backbone, each half the size of the one before."""
        maps = []
        for index, channels in enumerate(map(depth, _EXTRA_DEPTHS), start=2):
            squeezed = depth(_EXTRA_DEPTHS[index - 2] // 2)
            x = self.conv(x, f"{scope}_1_Conv2d_{index}_1x1_{squeezed}", squeezed)
            name = f"{scope}_2_Conv2d_{index}_3x3_s2_{channels}"
            if depthwise:
                x = self.conv(self.depthwise(x, f"{name}_depthwise", stride=2), name, channels)
            else:
                x = self.conv(x, name, channels, 3, stride=2)
            maps.append(x)
        return maps

    def box_predictors(self, maps: Sequence[Value], num_classes: int, size: int) -> None:
        """The graph's outputs: per map, class logits `class_k` and box encodings `box_k`.

        Args:
            maps: Feature maps (C, H, W), finest first.
            num_classes: Classes including the background.
            size: Kernel size of the predictors.
        """
        for index, (x, anchors) in enumerate(zip(maps, _ANCHORS, strict=True)):
            scope = f"BoxPredictor_{index}"
            logits = self._biased(x, f"{scope}/ClassPredictor", anchors * num_classes, size)
            self._graph.output(logits, f"class_{index}")
            boxes = self._biased(x, f"{scope}/BoxEncodingPredictor", anchors * 4, size)
            self._graph.output(boxes, f"box_{index}")

    def _biased(self, x: Value, scope: str, channels: int, size: int) -> Value:
        kernel = self._kernel(f"{scope}/weights", (size, size, x.shape[0], channels), True)
        bias = self._weights.get(Parameter(f"{scope}/biases", (channels,), Kind.BIAS))
        return self._graph.conv(x, kernel.transpose(3, 2, 0, 1), bias, scope)

    def _normalized(
        self, x: Value, kernel: FloatArray, scope: str, stride: int, groups: int, linear: bool
    ) -> Value:
        kernel, bias = normalized_kernel(kernel, self._weights, scope, SLIM, TENSORFLOW_EPSILON)
        x = self._graph.conv(x, kernel, bias, scope, stride=stride, groups=groups)
        return x if linear else self._graph.activate(x, "relu6", f"{scope}/Relu6")

    def _kernel(self, name: str, shape: tuple[int, int, int, int], linear: bool) -> FloatArray:
        depthwise = shape[3] == 1 and name.endswith("/depthwise_weights")
        fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
        gain = 1.0 if linear else 2.0
        return self._weights.get(Parameter(name, shape, fan_in=fan_in, gain=gain))


YOLO_EPSILON = 1e-3
"""What the networks' batch normalization adds to the variance."""

STEM_GAIN = 100.0
"""Of the first kernel in random weights.

Swish keeps the scale of large signals, as ReLU does, and lets small ones die out: networks this
deep only stay alive with large ones.
"""

_GAIN = 2.05
_PREDICTOR_GAIN = 0.01


class YoloLayers:
    """Layers that take their parameters from `weights` by module name.

    Args:
        graph: Where the layers are added.
        weights: Parameters under the names of the state dict.
        activation: What follows every normalization.
    """

    def __init__(self, graph: Graph, weights: Weights, activation: Activation = "swish") -> None:
        self._graph = graph
        self._layers = TorchLayers(graph, weights, YOLO_EPSILON)
        self._activation = activation

    def unit(
        self,
        x: Value,
        name: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: Padding = "half",
        gain: float = _GAIN,
    ) -> Value:
        """Convolution, batch normalization, activation."""
        return self._layers.conv(
            x,
            f"{name}.conv",
            channels,
            size,
            norm=f"{name}.bn",
            activation=self._activation,
            stride=stride,
            groups=groups,
            padding=padding,
            gain=gain,
        )

    def predictor(self, x: Value, name: str, channels: int) -> Value:
        """A 1x1 convolution with a bias."""
        return self._layers.conv(x, name, channels, gain=_PREDICTOR_GAIN)

    def pooled(self, x: Value, name: str) -> Value:
        """`x` beside its maxima over 5x5, 9x9 and 13x13 pixels.

        The larger windows are a 5x5 one applied twice and three times.
        """
        maps = [x]
        for index in range(3):
            pool = f"{name}/pool{index}"
            maps.append(self._graph.max_pool(maps[-1], 5, pool, stride=1, padding="half"))
        return self._graph.concat(maps, f"{name}/concat")


def image_shape(image_size: int | Sequence[int], stride: int) -> tuple[int, int, int]:
    """Shape of an RGB image (3, H, W) of `image_size`, either (H, W) or one number for both.

    Raises:
        ShapeError: A side is not a positive multiple of `stride`, the network's coarsest one.
    """
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or any(side < stride or side % stride for side in sides):
        msg = f"expected an image_size of multiples of {stride}, got {image_size}"
        raise ShapeError(msg)
    return (3, *sides)
