"""MediaPipe's selfie segmentation: a MobileNetV3 with a light decoder (Google, 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..graph import Activation, Graph, Kernel, Layer, Value
from ..layers import image_shape
from ..weights import Kind, Parameter

__all__ = ["build"]

# Expanded channels, output channels, kernel size, stride, squeezed channels (0: none) and
# activation of the inverted residuals.
_Block = tuple[int, int, int, int, int, Activation]
_BLOCKS: tuple[_Block, ...] = (
    (16, 16, 3, 2, 8, "relu"),
    (72, 24, 3, 2, 0, "relu"),
    (88, 24, 3, 1, 0, "relu"),
    (96, 32, 5, 2, 24, "hard_swish"),
    (128, 32, 5, 1, 32, "hard_swish"),
    (128, 32, 5, 1, 32, "hard_swish"),
    (96, 32, 5, 1, 24, "hard_swish"),
    (96, 32, 5, 1, 24, "hard_swish"),
)
_SKIPS = (2, 0)
"""Indices of the blocks that the decoder takes up again, the coarsest first; then the stem."""

_STEM, _NECK = 16, 128
_STRIDE = 16


def build(*, image_size: int | Sequence[int] = 256, batch_size: int | None = None) -> Graph:
    """Describe the network up to its mask, with the sigmoid.

    The input `image` is float32 (N, 3, H, W), RGB in 0..1. The output `mask` is float32 (N, 1, H,
    W): how much each pixel belongs to a person.

    Parameters have the names of the file, with its layouts (`conv2d_1.weight`, (O, kh, kw, I)).

    Args:
        image_size: Height and width of the input, in multiples of 16 pixels.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("selfie_segmentation", batch_size)
    net = _Layers(graph)
    image = graph.input("image", image_shape(image_size, _STRIDE))
    x = stem = net.conv(image, _STEM, 3, stride=2, activation="hard_swish")
    maps = []
    for block in _BLOCKS:
        x = net.block(x, *block)
        maps.append(x)
    pooled = graph.global_average_pool(x, "neck/pool")
    features = net.conv(x, _NECK, activation="relu")
    x = graph.multiply(features, net.conv(pooled, _NECK, activation="sigmoid"), "neck")
    for level, skip in enumerate([*(maps[index] for index in _SKIPS), stem]):
        x = net.joined(x, skip, f"decoder{level}")
    logits = net.enlarged(x, "segment")
    graph.output(graph.activate(logits, "sigmoid", "segment/sigmoid"), "mask")
    return graph


class _Layers:
    """Layers with biases, numbered as in the file."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._counts = {"conv2d": 0, "depthwise_conv2d": 0}

    def conv(
        self,
        x: Value,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        activation: Activation | None = None,
    ) -> Value:
        """Add a convolution, and an activation."""
        shape = (channels, size, size, x.shape[0])
        name = self._next("conv2d")
        x = self._graph.conv(x, _layer(name, shape, (0, 3, 1, 2)), name, stride=stride)
        return x if activation is None else self._graph.activate(x, activation, f"{name}/act")

    def depthwise(self, x: Value, size: int, stride: int, activation: Activation) -> Value:
        """Add a convolution of each channel, and an activation."""
        channels = x.shape[0]
        name = self._next("depthwise_conv2d")
        layer = _layer(name, (1, size, size, channels), (3, 0, 1, 2), fan_in=size * size)
        x = self._graph.conv(x, layer, name, stride=stride, groups=channels)
        return self._graph.activate(x, activation, f"{name}/act")

    def block(
        self,
        x: Value,
        expanded: int,
        channels: int,
        size: int,
        stride: int,
        squeezed: int,
        activation: Activation,
    ) -> Value:
        """Add an inverted residual."""
        y = self.conv(x, expanded, activation=activation)
        y = self.depthwise(y, size, stride, activation)
        if squeezed:
            y = self._gated(y, y, squeezed)
        y = self.conv(y, channels)
        name = f"block{self._counts['depthwise_conv2d']}/add"
        return self._graph.add(y, x, name) if x.shape == y.shape else y

    def joined(self, x: Value, skip: Value, name: str) -> Value:
        """Enlarge `x`, and join it with a map of the encoder, gated by both."""
        graph, (channels, height, width) = self._graph, skip.shape
        x = graph.resize_linear(x, (height, width), f"{name}/resized")
        x = self.conv(x, channels)
        both = graph.add(skip, x, f"{name}/both")
        x = graph.add(self._gated(skip, both, channels), x, f"{name}/sum")
        x = self.conv(x, channels, activation="relu")
        return graph.add(x, self.depthwise(x, 3, 1, "relu"), f"{name}/add")

    def enlarged(self, x: Value, name: str) -> Value:
        """Add the transposed convolution that makes one channel of twice the size."""
        layer = _layer(name, (1, 2, 2, x.shape[0]), (3, 0, 1, 2), bias=1, fan_in=x.shape[0])
        return self._graph.conv_transpose(x, layer, name, stride=2)

    def _gated(self, x: Value, source: Value, squeezed: int) -> Value:
        """Scale each channel of `x` by a gate computed from the channel means of `source`."""
        name = f"gate{self._counts['conv2d']}"
        gate = self._graph.global_average_pool(source, f"{name}/pool")
        gate = self.conv(gate, squeezed, activation="relu")
        gate = self.conv(gate, x.shape[0], activation="sigmoid")
        return self._graph.multiply(x, gate, name)

    def _next(self, kind: str) -> str:
        number = self._counts[kind]
        self._counts[kind] += 1
        return f"{kind}_{number}" if number else kind


def _layer(
    name: str,
    shape: tuple[int, int, int, int],
    order: tuple[int, ...],
    *,
    bias: int | None = None,
    fan_in: int | None = None,
) -> Layer:
    """Return a layer with a kernel in TensorFlow Lite's layout, and a bias."""
    kernel = Parameter(f"{name}.weight", shape, fan_in=fan_in or math.prod(shape[1:]))
    count = bias or (shape[3] if shape[0] == 1 else shape[0])
    return Layer(Kernel(kernel, order), Parameter(f"{name}.bias", (count,), Kind.BIAS))
