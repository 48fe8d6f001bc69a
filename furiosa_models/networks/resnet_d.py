"""ResNet-D, the backbone of RT-DETR and of several networks of Focoos.

He et al., "Bag of tricks for image classification with convolutional neural networks" (2018): three
small convolutions at the start, and average pooling in the shortcuts.
"""

from __future__ import annotations

from .graph import Graph, Value
from .layers import TorchLayers

__all__ = ["DEPTHS", "resnet_d"]

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Number of blocks of each stage, by the depth of the network."""

_BOTTLENECK_DEPTH, _EXPANSION = 50, 4
_RESIDUAL_GAIN = 0.1
"""Gain of the last kernel of a block of random weights: keeps sums of residuals bounded."""


def resnet_d(graph: Graph, x: Value, scope: str, depth: int) -> dict[str, Value]:
    """Add the backbone to a graph; return its maps, `res2` to `res5`, with strides 4 to 32.

    Parameters have the names of RT-DETR (`res_layers.0.blocks.0.branch2a.conv.weight`).

    Args:
        graph: The graph.
        x: The image (3, H, W).
        scope: Prefix of the names, such as `backbone`.
        depth: A key of `DEPTHS`.
    """
    layers = _Layers(graph)
    for index, (channels, stride) in enumerate(((32, 2), (32, 1), (64, 1)), start=1):
        x = layers.conv(x, f"{scope}.conv1.conv1_{index}", channels, 3, stride=stride)
    x = graph.max_pool(x, 3, f"{scope}.pool", stride=2, padding="half")
    maps = {}
    for stage, count in enumerate(DEPTHS[depth]):
        for block in range(count):
            name = f"{scope}.res_layers.{stage}.blocks.{block}"
            stride = 2 if stage and not block else 1
            x = layers.block(
                x, name, 64 << stage, stride, bottleneck=depth >= _BOTTLENECK_DEPTH, first=not block
            )
        maps[f"res{stage + 2}"] = x
    return maps


class _Layers:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._layers = TorchLayers(graph, 1e-5)

    def conv(
        self,
        x: Value,
        name: str,
        channels: int,
        size: int,
        *,
        stride: int = 1,
        linear: bool = False,
        gain: float | None = None,
    ) -> Value:
        """Add a convolution with normalization and, unless `linear`, ReLU."""
        return self._layers.conv(
            x,
            f"{name}.conv",
            channels,
            size,
            norm=f"{name}.norm",
            activation=None if linear else "relu",
            stride=stride,
            gain=gain,
        )

    def block(
        self, x: Value, name: str, width: int, stride: int, *, bottleneck: bool, first: bool
    ) -> Value:
        """Add a residual block; the first one of a stage has a convolution in its shortcut."""
        channels = width * _EXPANSION if bottleneck else width
        short = self._shortcut(x, f"{name}.short", channels, stride) if first else x
        if bottleneck:
            y = self.conv(x, f"{name}.branch2a", width, 1)
            y = self.conv(y, f"{name}.branch2b", width, 3, stride=stride)
            y = self.conv(y, f"{name}.branch2c", channels, 1, linear=True, gain=_RESIDUAL_GAIN)
        else:
            y = self.conv(x, f"{name}.branch2a", width, 3, stride=stride)
            y = self.conv(y, f"{name}.branch2b", width, 3, linear=True, gain=_RESIDUAL_GAIN)
        return self._graph.activate(self._graph.add(y, short, f"{name}/add"), "relu", f"{name}/act")

    def _shortcut(self, x: Value, name: str, channels: int, stride: int) -> Value:
        if stride == 1:
            return self.conv(x, name, channels, 1, linear=True)
        # Sizes are even here: PyTorch's `ceil_mode` changes nothing.
        x = self._graph.average_pool(x, 2, f"{name}.pool", stride=2, padding="valid")
        return self.conv(x, f"{name}.conv", channels, 1, linear=True)
