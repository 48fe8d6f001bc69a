"""Layers that several networks use, with parameters under the names of the checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..errors import ShapeError
from .graph import Activation, Graph, Kernel, Layer, Norm, Padding, Value
from .weights import Kind, Parameter

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

_SLIM_MOMENTUM = 0.99  # theirs, 0.9997, suits hundreds of thousands of steps

_GAINS = {"relu": 2.0, "relu6": 2.0, "swish": 2.4}


class TorchLayers:
    """Layers of PyTorch networks, which read their parameters by module name.

    Args:
        graph: Graph to add the layers to.
        epsilon: Constant that the network's batch normalization adds to the variance.
        momentum: Part of the running statistics that a training step keeps.
        padding: Padding of the network's convolutions.
    """

    def __init__(
        self,
        graph: Graph,
        epsilon: float,
        *,
        momentum: float = 0.9,
        padding: Padding = "half",
    ) -> None:
        self._graph = graph
        self._epsilon = epsilon
        self._momentum = momentum
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
        dilation: int = 1,
        bias: bool = False,
        gain: float | None = None,
    ) -> Value:
        """Add a convolution, the normalization `norm` or a bias, and an activation.

        With `bias`, a normalized convolution has a bias, too. `gain` is the gain of the kernel in
        random weights (see `Parameter`); the default compensates for the attenuation by the
        activation.
        """
        shape = (channels, x.shape[0] // groups, size, size)
        gain = gain or (_GAINS.get(activation, 1.0) if activation else 1.0)
        weight = Parameter(f"{name}.weight", shape, fan_in=math.prod(shape[1:]), gain=gain)
        if norm is None:
            layer = Layer(Kernel(weight), Parameter(f"{name}.bias", (channels,), Kind.BIAS))
        else:
            shift = Parameter(f"{name}.bias", (channels,), Kind.BIAS) if bias else None
            layer = Layer(Kernel(weight), shift, norm=self.norm(norm, channels))
        padding = self._padding if padding is None else padding
        x = self._graph.conv(
            x, layer, name, stride=stride, groups=groups, padding=padding, dilation=dilation
        )
        return x if activation is None else self._graph.activate(x, activation, f"{name}/act")

    def rep_vgg(self, x: Value, name: str, channels: int, activation: Activation) -> Value:
        """Add the sum of a 3x3 and a 1x1 convolution, `{name}.conv1` and `{name}.conv2`.

        A network that runs has one convolution: Ding et al., "RepVGG" (2021).
        """
        parts: list[Layer] = []
        for part, size in (("conv2", 1), ("conv1", 3)):
            shape = (channels, x.shape[0], size, size)
            fan_in = math.prod(shape[1:])
            weight = Parameter(f"{name}.{part}.conv.weight", shape, fan_in=fan_in, gain=1.0)
            norm = self.norm(f"{name}.{part}.norm", channels)
            parts.append(Layer(Kernel(weight), norm=norm, parallel=parts[0] if parts else None))
        x = self._graph.conv(x, parts[1], f"{name}.conv", padding="half")
        return self._graph.activate(x, activation, f"{name}/act")

    def norm(self, name: str, channels: int) -> Norm:
        """Return the batch normalization with a name."""
        return Norm.of(name, TORCH, channels, epsilon=self._epsilon, momentum=self._momentum)

    def linear(self, x: Value, name: str, features: int) -> Value:
        """Add a fully connected layer of `x` (C,)."""
        shape = (features, *x.shape)
        weight = Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=1.0)
        bias = Parameter(f"{name}.bias", (features,), Kind.BIAS)
        return self._graph.gemm(x, Layer(Kernel(weight), bias), name)

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
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def conv(
        self,
        x: Value,
        scope: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        linear: bool = False,
        activation: Activation = "relu6",
    ) -> Value:
        """Add a convolution, batch normalization and, unless `linear`, an activation."""
        kernel = _kernel(f"{scope}/weights", (size, size, x.shape[0], channels), linear)
        return self._normalized(x, kernel, scope, stride, 1, None if linear else activation)

    def depthwise(self, x: Value, scope: str, *, stride: int = 1, dilation: int = 1) -> Value:
        """Add a depthwise 3x3 convolution, batch normalization and ReLU6."""
        channels = x.shape[0]
        shape = (3, 3, channels, 1)
        weights = Parameter(f"{scope}/depthwise_weights", shape, fan_in=9, gain=2.0)
        kernel = Kernel(weights, (2, 3, 0, 1))
        return self._normalized(x, kernel, scope, stride, channels, "relu6", dilation)

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
            logits = self.biased(x, f"{scope}/ClassPredictor", anchors * num_classes, size)
            self._graph.output(logits, f"class_{index}")
            boxes = self.biased(x, f"{scope}/BoxEncodingPredictor", anchors * 4, size)
            self._graph.output(boxes, f"box_{index}")

    def biased(self, x: Value, scope: str, channels: int, size: int = 1) -> Value:
        """Add a convolution with a bias, the last layer of a network."""
        kernel = _kernel(f"{scope}/weights", (size, size, x.shape[0], channels), True)
        bias = Parameter(f"{scope}/biases", (channels,), Kind.BIAS)
        return self._graph.conv(x, Layer(kernel, bias), scope)

    def _normalized(
        self,
        x: Value,
        kernel: Kernel,
        scope: str,
        stride: int,
        groups: int,
        activation: Activation | None,
        dilation: int = 1,
    ) -> Value:
        norm = Norm.of(
            scope,
            SLIM,
            kernel.shape[0],
            epsilon=TENSORFLOW_EPSILON,
            momentum=_SLIM_MOMENTUM,
        )
        layer = Layer(kernel, norm=norm)
        x = self._graph.conv(x, layer, scope, stride=stride, groups=groups, dilation=dilation)
        if activation is None:
            return x
        return self._graph.activate(x, activation, f"{scope}/{activation.capitalize()}")


def _kernel(name: str, shape: tuple[int, int, int, int], linear: bool) -> Kernel:
    """Return the kernel of a convolution, which TensorFlow stores as (kh, kw, I, O)."""
    fan_in, gain = math.prod(shape[:3]), 1.0 if linear else 2.0
    return Kernel(Parameter(name, shape, fan_in=fan_in, gain=gain), (3, 2, 0, 1))


YOLO_EPSILON = 1e-3
"""Constant that the batch normalization of YOLO networks adds to the variance."""

_YOLO_MOMENTUM = 0.97

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
        activation: Activation after every normalization.
    """

    def __init__(self, graph: Graph, activation: Activation = "swish") -> None:
        self._graph = graph
        self._layers = TorchLayers(graph, YOLO_EPSILON, momentum=_YOLO_MOMENTUM)
        self.norm = self._layers.norm
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
        gain: float | None = None,
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
            gain=gain or _GAIN,
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


def image_shape(
    image_size: int | Sequence[int], stride: int = 1, *, square: bool = False
) -> tuple[int, int, int]:
    """Return the shape (3, H, W) of an RGB image for a size (H, W), or one number for both.

    Args:
        image_size: The size.
        stride: The network's largest stride, if both sides must be multiples of it.
        square: Whether both sides must be equal.

    Raises:
        ShapeError: The network does not take images of that size.
    """
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or any(side < stride or side % stride for side in sides):
        msg = f"expected image_size to be a positive multiple of {stride}, got {image_size}"
        raise ShapeError(msg)
    if square and sides[0] != sides[1]:
        msg = f"expected a square image_size, got {image_size}"
        raise ShapeError(msg)
    return (3, *sides)
