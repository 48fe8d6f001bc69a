"""STDC, the backbone of several networks of Focoos.

Fan et al., "Rethinking BiSeNet for real-time semantic segmentation" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Graph, Value
from .layers import TorchLayers

__all__ = ["SIZES", "stdc"]

SIZES: dict[str, tuple[int, tuple[int, int, int]]] = {
    "nano": (32, (2, 2, 2)),
    "small": (64, (2, 2, 2)),
    "large": (64, (4, 5, 3)),
}
"""Channels of the first map, and number of blocks of each stage, by the name of the size."""

_BLOCK_CONVS = 4


def stdc(graph: Graph, x: Value, scope: str, base: int, blocks: Sequence[int]) -> dict[str, Value]:
    """Add the backbone to a graph; return its maps, `res2` to `res5`, with strides 4 to 32.

    Parameters have the names of Focoos' state dicts (`features.2.conv_list.0.conv.weight`).

    Args:
        graph: The graph.
        x: The image (3, H, W), normalized.
        scope: Prefix of the names, such as `backbone`.
        base: Channels of `res2`; those of the stages are 4, 8 and 16 times as many.
        blocks: Number of blocks of each stage; fewer than three stages give fewer maps.
    """
    layers = TorchLayers(graph, 1e-5, padding="half")
    prefix = f"{scope}.features"
    x = _conv(layers, x, f"{prefix}.0", base // 2, 3, stride=2)
    x = _conv(layers, x, f"{prefix}.1", base, 3, stride=2)
    maps = {"res2": x}
    index = 2
    for stage, count in enumerate(blocks):
        for block in range(count):
            channels = base << (stage + 2)
            x = _block(graph, layers, x, f"{prefix}.{index}", channels, 2 if block == 0 else 1)
            index += 1
        maps[f"res{stage + 3}"] = x
    return maps


def _conv(
    layers: TorchLayers, x: Value, name: str, channels: int, size: int, *, stride: int = 1
) -> Value:
    """Add a convolution with normalization and ReLU."""
    return layers.conv(
        x, f"{name}.conv", channels, size, norm=f"{name}.bn", activation="relu", stride=stride
    )


def _block(
    graph: Graph, layers: TorchLayers, x: Value, name: str, channels: int, stride: int
) -> Value:
    """Add a block: convolutions with ever fewer channels, whose results are concatenated."""
    part = f"{name}.conv_list"
    first = y = _conv(layers, x, f"{part}.0", channels // 2, 1)
    if stride == 2:
        y = layers.conv(
            y,
            f"{name}.avd_layer.0",
            channels // 2,
            3,
            norm=f"{name}.avd_layer.1",
            stride=2,
            groups=channels // 2,
        )
        first = graph.average_pool(first, 3, f"{name}.skip", stride=2, padding="half")
    parts = [first]
    for index in range(1, _BLOCK_CONVS):
        halvings = min(index + 1, _BLOCK_CONVS - 1)
        y = _conv(layers, y, f"{part}.{index}", channels >> halvings, 3)
        parts.append(y)
    return graph.concat(parts, f"{name}/concat")
