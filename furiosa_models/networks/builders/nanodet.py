"""NanoDet-g: convolutions of CSPNet and a path aggregation network, without special operations.

NanoDet (RangiLyu 2020, github.com/RangiLyu/nanodet) predicts class scores, and distributions of the
distance from each cell to the four sides of its box (Li et al. 2020, arXiv:2006.04388).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..graph import Graph, Kernel, Layer, Value
from ..layers import image_shape
from ..weights import Kind, Parameter

__all__ = ["build"]

_SCOPE = "PartitionedCall"
_BINS = 11
_NECK = 128
_FIRST_HEAD = 28  # index of the first convolution of the heads
_HEAD_BIASES = (60, 62, 66, 68, 70, 72)  # numbers of their biases in the checkpoint


def build(
    *,
    num_classes: int = 80,
    image_size: int | Sequence[int] = 416,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its scores and distributions, without NMS.

    The input `image` is float32 (N, 3, H, W), normalized BGR. The outputs for the strides 8, 16 and
    32 are `scores_{stride}` (N, cells, classes), in 0..1, and `sides_{stride}` (N, cells, 44),
    logits of 11 distances in cells for left, top, right and bottom.

    Parameters have the names of the TensorFlow.js graph model, which numbers them.

    Args:
        num_classes: Number of classes.
        image_size: Height and width of the input, multiples of 32.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("nanodet", batch_size)
    layers = _Layers(graph)
    x = layers.conv(graph.input("image", image_shape(image_size, 32)), 32, 3, stride=2)
    x = graph.max_pool(x, 3, f"{_SCOPE}/pool", stride=2, padding="half")
    x = layers.stage(x, 32, 1)
    fine = layers.stage(layers.conv(x, 64, 3, stride=2), 64, 2)
    middle = layers.stage(layers.conv(fine, 128, 3, stride=2), 128, 2)
    coarse = layers.stage(layers.conv(middle, 256, 3, stride=2), 256, 3)
    fine, middle, coarse = (layers.conv(x, _NECK, is_linear=True) for x in (fine, middle, coarse))
    middle = graph.add(middle, _doubled(graph, coarse, "32"), f"{_SCOPE}/up_16")
    fine = graph.add(fine, _doubled(graph, middle, "16"), f"{_SCOPE}/up_8")
    middle = graph.add(middle, _halved(graph, fine, "8"), f"{_SCOPE}/down_16")
    coarse = graph.add(coarse, _halved(graph, middle, "16"), f"{_SCOPE}/down_32")
    outputs = []
    for stride, level in ((8, fine), (16, middle), (32, coarse)):
        y = layers.conv(level, _NECK, 3)
        y = layers.conv(y, num_classes + 4 * _BINS, is_linear=True)
        name = f"{_SCOPE}/level_{stride}"
        y = graph.reshape(y, (y.shape[0], math.prod(y.shape[1:])), f"{name}/cells")
        y = graph.transpose(y, (1, 0), f"{name}/rows")
        scores = graph.slice(y, 1, 0, num_classes, f"{name}/logits")
        sides = graph.slice(y, 1, num_classes, num_classes + 4 * _BINS, f"{name}/sides")
        outputs.append((graph.activate(scores, "sigmoid", f"{name}/scores"), f"scores_{stride}"))
        outputs.append((sides, f"sides_{stride}"))
    for value, name in outputs:
        graph.output(value, name)
    return graph


def _doubled(graph: Graph, x: Value, stride: str) -> Value:
    _, height, width = x.shape
    return graph.resize_linear(x, (2 * height, 2 * width), f"{_SCOPE}/doubled_{stride}")


def _halved(graph: Graph, x: Value, stride: str) -> Value:
    """Halve a map by bilinear interpolation, which is the mean of four pixels."""
    name = f"{_SCOPE}/halved_{stride}"
    return graph.average_pool(x, 2, name, stride=2, padding="valid")


class _Layers:
    """Convolutions in the order of their numbers in the checkpoint."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._count = 0

    def conv(
        self, x: Value, channels: int, size: int = 1, *, stride: int = 1, is_linear: bool = False
    ) -> Value:
        """Add a convolution with a bias and, unless `is_linear`, a leaky ReLU."""
        number, self._count = self._count, self._count + 1
        kernel = f"{_SCOPE}/split" + (f"_{number}" if number else "")
        shape = (size, size, x.shape[0], channels)
        gain = 1.0 if is_linear else 2.0
        weights = Parameter(kernel, shape, fan_in=math.prod(shape[:3]), gain=gain)
        head = number - _FIRST_HEAD
        bias = f"unknown_{_HEAD_BIASES[head] if head >= 0 else 2 * number}"
        layer = Layer(Kernel(weights, (3, 2, 0, 1)), Parameter(bias, (channels,), Kind.BIAS))
        name = f"{_SCOPE}/convolution_{number}"
        x = self._graph.conv(x, layer, name, stride=stride, padding="half")
        return x if is_linear else self._graph.activate(x, "leaky", f"{name}/LeakyRelu")

    def stage(self, x: Value, channels: int, blocks: int) -> Value:
        """Add a stage of CSPNet, which gives twice its channels."""
        y = x if blocks > 1 else self.conv(x, channels, 3)
        x = y
        for _ in range(blocks):
            half = self.conv(y, channels // 2, 3)
            other = self.conv(half, channels // 2, 3)
            y = self._graph.concat([other, half], f"{other.name}/concat")
        y = self.conv(y, channels, 3)
        return self._graph.concat([y, x], f"{y.name}/concat")
