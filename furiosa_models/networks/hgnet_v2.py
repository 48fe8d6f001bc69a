"""HGNetV2, the backbone of D-FINE: of PaddleDetection, with learned scales after activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .graph import Graph, Value
from .layers import TorchLayers
from .weights import Kind, Parameter

__all__ = ["SIZES", "hgnet_v2"]


class _Stage(NamedTuple):
    """A stage: channels inside and after it, blocks, layers of a block, and kernel size.

    Layers with a kernel of 5 pixels are light: a 1x1 kernel and a depthwise one.
    """

    inner: int
    channels: int
    blocks: int
    layers: int
    kernel: int


SIZES: dict[str, tuple[tuple[int, int], Sequence[_Stage]]] = {
    "B0": (
        (16, 16),
        (
            _Stage(16, 64, 1, 3, 3),
            _Stage(32, 256, 1, 3, 3),
            _Stage(64, 512, 2, 3, 5),
            _Stage(128, 1024, 1, 3, 5),
        ),
    ),
    "B2": (
        (24, 32),
        (
            _Stage(32, 96, 1, 4, 3),
            _Stage(64, 384, 1, 4, 3),
            _Stage(128, 768, 3, 4, 5),
            _Stage(256, 1536, 1, 4, 5),
        ),
    ),
}
"""Channels of the stem, and stages, by the name of the size."""

_LIGHT_KERNEL = 5


def hgnet_v2(graph: Graph, x: Value, scope: str, size: str) -> list[Value]:
    """Add the backbone to a graph; return its maps with strides 4, 8, 16 and 32.

    Parameters have the names of D-FINE's state dicts (`stages.0.blocks.0.layers.0.conv.weight`).

    Args:
        graph: The graph.
        x: The image (3, H, W) in [0, 1].
        scope: Prefix of the names, such as `backbone`.
        size: A key of `SIZES`.
    """
    (inner, channels), stages = SIZES[size]
    network = _Network(graph)
    x = network.stem(x, f"{scope}.stem", inner, channels)
    maps = []
    for index, stage in enumerate(stages):
        x = network.stage(x, f"{scope}.stages.{index}", stage, downsample=index > 0)
        maps.append(x)
    return maps


class _Network:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._layers = TorchLayers(graph, 1e-5)

    def stem(self, x: Value, name: str, inner: int, channels: int) -> Value:
        """Add the stem: two paths with windows of 2x2 pixels, padded at the right and below."""
        x = self._unit(x, f"{name}.stem1", inner, 3, stride=2)
        x = self._graph.pad(x, (0, 0, 1, 1), f"{name}/pad")
        y = self._unit(x, f"{name}.stem2a", inner // 2, 2, valid=True)
        y = self._graph.pad(y, (0, 0, 1, 1), f"{name}/pad2")
        y = self._unit(y, f"{name}.stem2b", inner, 2, valid=True)
        x = self._graph.max_pool(x, 2, f"{name}.pool", stride=1, padding="valid")
        x = self._graph.concat([x, y], f"{name}/concat")
        x = self._unit(x, f"{name}.stem3", inner, 3, stride=2)
        return self._unit(x, f"{name}.stem4", channels)

    def stage(self, x: Value, name: str, stage: _Stage, *, downsample: bool) -> Value:
        """Add a stage; all but the first halve the map before their blocks."""
        if downsample:
            x = self._layers.conv(
                x,
                f"{name}.downsample.conv",
                x.shape[0],
                3,
                norm=f"{name}.downsample.bn",
                stride=2,
                groups=x.shape[0],
            )
        for index in range(stage.blocks):
            y = self._block(x, f"{name}.blocks.{index}", stage)
            x = self._graph.add(y, x, f"{name}.blocks.{index}/add") if index else y
        return x

    def _block(self, x: Value, name: str, stage: _Stage) -> Value:
        """Add a block: the results of all its layers are concatenated and mixed."""
        maps = [x]
        for index in range(stage.layers):
            part = f"{name}.layers.{index}"
            if stage.kernel == _LIGHT_KERNEL:
                x = self._layers.conv(
                    x, f"{part}.conv1.conv", stage.inner, norm=f"{part}.conv1.bn", gain=1.0
                )
                x = self._unit(x, f"{part}.conv2", stage.inner, stage.kernel, groups=stage.inner)
            else:
                x = self._unit(x, part, stage.inner, stage.kernel)
            maps.append(x)
        x = self._graph.concat(maps, f"{name}/concat")
        x = self._unit(x, f"{name}.aggregation.0", stage.channels // 2)
        return self._unit(x, f"{name}.aggregation.1", stage.channels)

    def _unit(
        self,
        x: Value,
        name: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        valid: bool = False,
    ) -> Value:
        """Add a convolution, normalization and ReLU, whose result is scaled and shifted."""
        x = self._layers.conv(
            x,
            f"{name}.conv",
            channels,
            size,
            norm=f"{name}.bn",
            activation="relu",
            stride=stride,
            groups=groups,
            padding="valid" if valid else "half",
        )
        scale = Parameter(f"{name}.lab.scale", (1,), Kind.GAMMA)
        offset = Parameter(f"{name}.lab.bias", (1,), Kind.BETA)
        x = self._graph.scale(x, scale, f"{name}.lab.scaled")
        return self._graph.shift(x, offset, f"{name}.lab")
