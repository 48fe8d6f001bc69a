"""Layers of transformers, with parameters under the names of PyTorch's modules.

Attention is that of Vaswani et al., "Attention is all you need" (2017); deformable attention that
of Zhu et al., "Deformable DETR" (2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .graph import Activation, Graph, Kernel, Layer, Value
from .weights import Kind, Parameter

__all__ = ["TransformerLayers", "interleaved_positions", "sine_positions"]

_EPSILON = 1e-5


class TransformerLayers:
    """Layers of transformers. Tokens are (L, C): L positions with C channels.

    Args:
        graph: Graph to add the layers to.
        heads: Number of heads of attention.
    """

    def __init__(self, graph: Graph, heads: int = 8) -> None:
        self._graph = graph
        self._heads = heads

    def linear(
        self, x: Value, name: str, features: int, *, gain: float = 1.0, node: str | None = None
    ) -> Value:
        """Add a layer of the last axis of `x`; if several share it, each has its own `node`."""
        shape = (features, x.shape[-1])
        weight = Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=gain)
        bias = Parameter(f"{name}.bias", (features,), Kind.BIAS)
        return self._graph.linear(x, Layer(Kernel(weight, (1, 0)), bias), node or name)

    def norm(self, x: Value, name: str, *, node: str | None = None) -> Value:
        """Add layer normalization of the last axis of `x`; `node` as for `linear`."""
        gamma = Parameter(f"{name}.weight", x.shape[-1:], Kind.GAMMA)
        beta = Parameter(f"{name}.bias", x.shape[-1:], Kind.BETA)
        return self._graph.layer_norm(x, gamma, beta, node or name, epsilon=_EPSILON)

    def mlp(
        self,
        x: Value,
        name: str,
        widths: Sequence[int],
        *,
        gain: float = 1.0,
        node: str | None = None,
    ) -> Value:
        """Add fully connected layers `{name}.layers.0` and so on, with ReLU between them.

        `gain` is that of the last layer in random weights (see `Parameter`).
        """
        for index, width in enumerate(widths):
            part = f"{node or name}.layers.{index}"
            is_last = index == len(widths) - 1
            own = gain if is_last else 2.0
            x = self.linear(x, f"{name}.layers.{index}", width, gain=own, node=part)
            x = x if is_last else self._graph.activate(x, "relu", f"{part}/act")
        return x

    def feed_forward(self, x: Value, name: str, width: int, activation: Activation) -> Value:
        """Add the layers `{name}linear1` and `{name}linear2`, with an activation between them."""
        y = self.linear(x, f"{name}linear1", width, gain=2.0)
        y = self._graph.activate(y, activation, f"{name}linear1/act")
        return self.linear(y, f"{name}linear2", x.shape[-1])

    def attention(
        self, query: Value, key: Value, value: Value, name: str, *, penalty: Value | None = None
    ) -> Value:
        """Add `nn.MultiheadAttention`.

        Args:
            query: Queries (L, C).
            key: Keys (S, C).
            value: Values (S, C).
            name: Name of the module.
            penalty: Addend of the scores of each query and key, (L, S), if any.
        """
        graph, depth = self._graph, query.shape[1] // self._heads
        parts = [
            self._heads_of(self._projected(x, name, index), f"{name}/{part}", turned=part == "k")
            for index, (part, x) in enumerate({"q": query, "k": key, "v": value}.items())
        ]
        q = graph.scale(parts[0], 1 / math.sqrt(depth), f"{name}/scaled")
        scores = graph.matmul(q, parts[1], f"{name}/scores")
        if penalty is not None:
            of_all = graph.reshape(penalty, (1, *penalty.shape), f"{name}/penalty")
            scores = graph.add(scores, of_all, f"{name}/masked")
        scores = graph.softmax(scores, f"{name}/weights")
        y = graph.transpose(graph.matmul(scores, parts[2], f"{name}/heads"), (1, 0, 2), f"{name}/t")
        return self.linear(
            graph.reshape(y, query.shape, f"{name}/joined"), f"{name}.out_proj", query.shape[1]
        )

    def deformable_attention(
        self,
        query: Value,
        boxes: Value,
        maps: Sequence[Value],
        name: str,
        *,
        points: Sequence[int],
    ) -> Value:
        """Add deformable attention to feature maps, at points relative to boxes, (L, C).

        Args:
            query: Queries (L, C).
            boxes: Centers and sizes of boxes (L, 4), as fractions of the image.
            maps: Values (C, H, W) of each level, in the order of the parameters.
            name: Name of the module.
            points: Number of points of each head, by level.
        """
        graph, heads = self._graph, self._heads
        count, channels = query.shape
        total = sum(points)
        offsets = self.linear(query, f"{name}.sampling_offsets", heads * total * 2)
        offsets = graph.reshape(offsets, (count, heads, total, 2), f"{name}/offsets")
        steps = np.repeat(1 / np.array(points), points)[:, None]
        offsets = graph.scale(offsets, steps, f"{name}/steps")
        place = graph.reshape(boxes, (count, 1, 1, 4), f"{name}/boxes")
        # PyTorch's grid is 2 x - 1; an offset of all steps of its level is half a box.
        center = graph.slice(place, 3, 0, 2, f"{name}/center")
        center = graph.shift(graph.scale(center, 2.0, f"{name}/twice"), -1.0, f"{name}/origin")
        size = graph.slice(place, 3, 2, 4, f"{name}/size")
        grid = graph.add(graph.multiply(offsets, size, f"{name}/moved"), center, f"{name}/grid")
        grid = graph.fold(graph.transpose(grid, (1, 0, 2, 3), f"{name}/grid/t"), f"{name}/grid/f")
        weights = self.linear(query, f"{name}.attention_weights", heads * total)
        weights = graph.reshape(weights, (count, heads, total), f"{name}/weights")
        weights = graph.softmax(weights, f"{name}/softmax")
        weights = graph.transpose(weights, (1, 0, 2), f"{name}/weights/t")
        weights = graph.reshape(weights, (heads, 1, count, total), f"{name}/weights/r")
        found = []
        for level, x in enumerate(maps):
            part = f"{name}/level{level}"
            first = sum(points[:level])
            own = graph.slice(grid, 1, first, first + points[level], f"{part}/grid")
            split = (heads, channels // heads, *x.shape[1:])
            split_maps = graph.fold(graph.reshape(x, split, f"{part}/heads"), f"{part}/fold")
            found.append(graph.grid_sample(split_maps, own, f"{part}/sampled"))
        sampled = graph.unfold(graph.concat(found, f"{name}/sampled", axis=2), heads, f"{name}/u")
        y = graph.sum_last(graph.multiply(sampled, weights, f"{name}/weighted"), f"{name}/sum")
        y = graph.reshape(y, (channels, count), f"{name}/joined")
        return graph.transpose(y, (1, 0), f"{name}/t")

    def _projected(self, x: Value, name: str, index: int) -> Value:
        """Add the part of `in_proj` for queries, keys or values."""
        channels = x.shape[1]
        rows = (index * channels, (index + 1) * channels)
        weight = Parameter(
            f"{name}.in_proj_weight", (3 * channels, channels), fan_in=channels, gain=1.0
        )
        bias = Parameter(f"{name}.in_proj_bias", (3 * channels,), Kind.BIAS)
        layer = Layer(Kernel(weight, (1, 0), rows=rows), Kernel(bias, rows=rows))
        return self._graph.linear(x, layer, f"{name}.in_proj.{'qkv'[index]}")

    def _heads_of(self, x: Value, name: str, *, turned: bool) -> Value:
        """Split `x` (L, C) into heads (heads, L, depth), or (heads, depth, L) if turned."""
        length, channels = x.shape
        split = self._graph.reshape(x, (length, self._heads, channels // self._heads), name)
        return self._graph.transpose(split, (1, 2, 0) if turned else (1, 0, 2), f"{name}/t")


def sine_positions(
    first: npt.ArrayLike, second: npt.ArrayLike, channels: int, *, temperature: float = 10_000.0
) -> npt.NDArray[np.float32]:
    """Return sine and cosine encodings of positions, (L, C) float32.

    Four blocks of channels are the sines and cosines of the first and of the second coordinate.

    Args:
        first: First coordinate of each position, (L,).
        second: Second coordinate, (L,).
        channels: Number of channels, a multiple of 4.
        temperature: Ratio of the longest to the shortest wave.
    """
    frequencies = temperature ** -(np.arange(channels // 4) / (channels // 4))
    waves = [np.asarray(each)[:, None] * frequencies for each in (first, second)]
    blocks = [wave(each) for each in waves for wave in (np.sin, np.cos)]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def interleaved_positions(rows: int, columns: int, channels: int) -> npt.NDArray[np.float32]:
    """Return the encodings of the pixels of a map, (rows * columns, channels) float32.

    They are those of DETR: positions count from 1 and are divided by the largest one, to 2 pi;
    sines and cosines alternate, those of rows before those of columns.

    Args:
        rows: Height of the map.
        columns: Its width.
        channels: Number of channels, a multiple of 4.
    """
    y, x = np.divmod(np.arange(rows * columns), columns)
    circle, tiny = 2 * math.pi, 1e-6  # the addend is theirs
    y, x = (y + 1) / (rows + tiny) * circle, (x + 1) / (columns + tiny) * circle
    blocks = sine_positions(y, x, channels).reshape(-1, 2, 2, channels // 4)
    return np.ascontiguousarray(blocks.swapaxes(2, 3)).reshape(-1, channels)
