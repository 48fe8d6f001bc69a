"""Layers that several networks use, with parameters under the names of the checkpoints.

Batch normalization is folded into the convolution before it. ONNX Runtime would fold it, too:
sessions of SSD MobileNet v2 start and run equally fast in both cases. But folding here uses
float64, and reduces the nodes to two thirds and the tensors to less than half. So there is less for
quantizers and compilers to process, and for people to read.
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
"""Constant that TensorFlow's detection networks and EfficientNets add to the variance."""

# Names of gamma, beta, mean and variance in checkpoints, below a layer's scope.
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
    """Fold batch normalization into the kernel (O, I, kh, kw) of the convolution before it.

    Args:
        kernel: Kernel of the convolution, (O, I, kh, kw); it has no bias of its own.
        weights: Source of the normalization's parameters.
        scope: Prefix of their names.
        names: Suffixes of gamma, beta, mean and variance.
        epsilon: Constant that the checkpoint's network adds to the variance.

    Returns:
        The folded kernel, (O, I, kh, kw), and bias, (O,).
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
    """Layers of PyTorch networks, which read their parameters by module name.

    Args:
        graph: Graph to add the layers to.
        weights: Parameters under the names of the state dict.
        epsilon: Constant that the network's batch normalization adds to the variance.
        padding: Padding of the network's convolutions.
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
        """Add a convolution, the normalization `norm` or a bias, and an activation.

        `gain` is the gain of the kernel in random weights (see `Parameter`); the default
        compensates for the attenuation by the activation.
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
        """Add a fully connected layer of `x` (C,)."""
        shape = (features, *x.shape)
        kernel = self._weights.get(Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=1.0))
        bias = self._weights.get(Parameter(f"{name}.bias", (features,), Kind.BIAS))
        return self._graph.gemm(x, kernel, bias, name)

    def classifier(self, x: Value, name: str, num_classes: int) -> Value:
        """Average `x` (C, H, W) over its pixels, and compute the logits (num_classes,)."""
        means = self._graph.global_average_pool(x, f"{name}/pool")
        return self.linear(
            self._graph.reshape(means, x.shape[:1], f"{name}/flatten"), name, num_classes
        )

    def excite(self, x: Value, name: str, gates: tuple[str, str], squeezed: int) -> Value:
        """Add squeeze-and-excitation: scale each channel by a gate computed from all channel means.

        Args:
            x: Features (C, H, W).
            name: Prefix of the nodes' names.
            gates: Names of the two layers that compute the gates, from the means to `squeezed`
                channels and back.
            squeezed: Number of channels between the two layers.
        """
        gate = self._graph.global_average_pool(x, f"{name}/squeeze")
        gate = self.conv(gate, gates[0], squeezed, activation="swish")
        gate = self.conv(gate, gates[1], x.shape[0], activation="sigmoid")
        return self._graph.multiply(x, gate, f"{name}/excite")


_ANCHORS = (3, 6, 6, 6, 6, 6)
_EXTRA_DEPTHS = (512, 256, 256, 128)


class Slim:
    """Layers of TensorFlow Slim networks, which read their parameters by scope.

    Args:
        graph: Graph to add the layers to.
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
        """Add a convolution, batch normalization and, unless `linear`, ReLU6."""
        kernel = self._kernel(f"{scope}/weights", (size, size, x.shape[0], channels), linear)
        return self._normalized(x, kernel.transpose(3, 2, 0, 1), scope, stride, 1, linear)

    def depthwise(self, x: Value, scope: str, *, stride: int = 1) -> Value:
        """Add a depthwise 3x3 convolution, batch normalization and ReLU6."""
        channels = x.shape[0]
        kernel = self._kernel(f"{scope}/depthwise_weights", (3, 3, channels, 1), False)
        return self._normalized(x, kernel.transpose(2, 3, 0, 1), scope, stride, channels, False)

    def extra_maps(
        self, x: Value, scope: str, depth: Callable[[int], int], *, depthwise: bool
    ) -> list[Value]:
        """Add four feature maps after the backbone, each half the size of the previous one."""
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
        """Add the outputs of the graph: class logits `class_k` and box encodings `box_k` per map.

        Args:
            maps: Feature maps (C, H, W), finest first.
            num_classes: Number of classes, including the background.
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
"""Constant that the batch normalization of YOLO networks adds to the variance."""

STEM_GAIN = 100.0
"""Gain of the first kernel of random weights.

Swish keeps the scale of large signals, as ReLU does, but damps small ones. In networks this deep,
only large signals reach the outputs.
"""

_GAIN = 2.05
_PREDICTOR_GAIN = 0.01


class YoloLayers:
    """Layers of YOLO networks, which read their parameters by module name.

    Args:
        graph: Graph to add the layers to.
        weights: Parameters under the names of the state dict.
        activation: Activation after every normalization.
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
        """Add a convolution, batch normalization and an activation."""
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
        """Add a 1x1 convolution with a bias."""
        return self._layers.conv(x, name, channels, gain=_PREDICTOR_GAIN)

    def pooled(self, x: Value, name: str) -> Value:
        """Concatenate `x` with its maxima over 5x5, 9x9 and 13x13 pixels.

        The larger windows are a 5x5 one applied two and three times.
        """
        maps = [x]
        for index in range(3):
            pool = f"{name}/pool{index}"
            maps.append(self._graph.max_pool(maps[-1], 5, pool, stride=1, padding="half"))
        return self._graph.concat(maps, f"{name}/concat")


def image_shape(image_size: int | Sequence[int], stride: int) -> tuple[int, int, int]:
    """Return the shape (3, H, W) of an RGB image for a size (H, W), or one number for both.

    Raises:
        ShapeError: A side is not a positive multiple of `stride`, the network's largest stride.
    """
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or any(side < stride or side % stride for side in sides):
        msg = f"expected image_size to be a positive multiple of {stride}, got {image_size}"
        raise ShapeError(msg)
    return (3, *sides)
