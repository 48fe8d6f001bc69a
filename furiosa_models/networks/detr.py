"""What detectors with queries share: the encoder of a map, the neck, and the choice of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .graph import Activation, Graph, Value
from .layers import TorchLayers
from .transformer import TransformerLayers, sine_positions

__all__ = [
    "NeckParts",
    "Queries",
    "QueryNames",
    "chosen_queries",
    "conv_norm",
    "encoded_map",
    "encoder_outputs",
    "flattened",
    "fused",
    "limited",
    "query_anchors",
]

_ANCHOR = 0.05
"""Side of the anchors of the finest map, as a fraction of the image; it doubles by map."""
_MARGIN = 0.01
"""Anchors whose center or size is closer than this to 0 or 1 are not valid."""
_LIMIT = 11.512915
"""Largest logit of a coordinate, log((1 - 1e-5) / 1e-5), to which the originals limit it."""


def encoded_map(
    graph: Graph, x: Value, scope: str, *, layers: int, width: int, by_rows: bool
) -> Value:
    """Add encoder layers to a map (C, H, W): attention among its pixels, then a perceptron.

    Args:
        graph: The graph.
        x: The map.
        scope: Prefix of the names, such as `encoder.encoder.0`.
        layers: Number of layers.
        width: Width of the perceptron.
        by_rows: Whether positions are counted in rows. RT-DETR and D-FINE count them by columns,
            although their tokens are in rows; on square maps there is no difference.
    """
    own = TransformerLayers(graph)
    channels, rows, columns = x.shape
    step = columns if by_rows else rows
    positions = sine_positions(*np.divmod(np.arange(rows * columns), step), channels)
    tokens = graph.transpose(flattened(graph, x, f"{scope}/flat"), (1, 0), f"{scope}/tokens")
    for index in range(layers):
        name = f"{scope}.layers.{index}"
        placed = graph.shift(tokens, positions, f"{name}/positions")
        y = own.attention(placed, placed, tokens, f"{name}.self_attn")
        tokens = own.norm(graph.add(tokens, y, f"{name}/attended"), f"{name}.norm1")
        y = own.feed_forward(tokens, f"{name}.", width, "gelu")
        tokens = own.norm(graph.add(tokens, y, f"{name}/fed"), f"{name}.norm2")
    x = graph.transpose(tokens, (1, 0), f"{scope}/channels")
    return graph.reshape(x, (channels, rows, columns), f"{scope}/map")


def conv_norm(
    layers: TorchLayers,
    x: Value,
    name: str,
    channels: int,
    size: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = None,
) -> Value:
    """Add the convolution `{name}.conv` and the normalization `{name}.norm`."""
    return layers.conv(
        x,
        f"{name}.conv",
        channels,
        size,
        norm=f"{name}.norm",
        activation=activation,
        stride=stride,
        groups=groups,
    )


class NeckParts(Protocol):
    """What differs between necks that `fused` adds."""

    def lateral(self, x: Value, name: str) -> Value:
        """Add a convolution of a coarse map."""

    def widened(self, x: Value, fine: Value, name: str) -> Value:
        """Enlarge a map to the size of a finer one."""

    def shrunk(self, x: Value, coarse: Value, index: int) -> Value:
        """Reduce a map to the size of a coarser one."""

    def block(self, x: Value, name: str) -> Value:
        """Add a block of convolutions of two concatenated maps."""


def fused(graph: Graph, maps: Sequence[Value], scope: str, parts: NeckParts) -> list[Value]:
    """Fuse maps from coarse to fine, then from fine to coarse; return the finest first.

    Args:
        graph: The graph.
        maps: The maps, the finest first.
        scope: Prefix of the names.
        parts: Layers of the neck.
    """
    inner = [maps[-1]]
    for index, fine in enumerate(reversed(maps[:-1])):
        inner[0] = parts.lateral(inner[0], f"{scope}.lateral_convs.{index}")
        name = f"{scope}.fpn_blocks.{index}"
        wide = parts.widened(inner[0], fine, f"{name}/up")
        inner.insert(0, parts.block(graph.concat([wide, fine], f"{name}/concat"), name))
    outputs = [inner[0]]
    for index, coarse in enumerate(inner[1:]):
        name = f"{scope}.pan_blocks.{index}"
        small = parts.shrunk(outputs[-1], coarse, index)
        outputs.append(parts.block(graph.concat([small, coarse], f"{name}/concat"), name))
    return outputs


class QueryNames(NamedTuple):
    """Names of the layers that choose queries.

    Attributes:
        scope: Prefix of all names.
        projection: Name of the layer of the positions' features.
        norm: Name of their normalization.
        scores: Name of the layer of their class logits.
        boxes: Name of the layers of their boxes.
        logits: Name of the logits of the boxes of the chosen ones.
    """

    scope: str
    projection: str
    norm: str
    scores: str
    boxes: str
    logits: str


class Queries(NamedTuple):
    """The best positions of maps.

    Attributes:
        features: Their features, (Q, C).
        boxes: The logits of their boxes, (Q, 4).
        scores: The logits of their classes, (Q, classes), if they are auxiliary outputs.
    """

    features: Value
    boxes: Value
    scores: Value | None


def chosen_queries(
    graph: Graph,
    maps: Sequence[Value],
    names: QueryNames,
    *,
    count: int,
    num_classes: int,
    coarse_first: bool = False,
    invalid: float = float("inf"),
    auxiliary: bool = False,
) -> Queries:
    """Choose the best positions of maps as queries.

    Args:
        graph: The graph.
        maps: The maps, (C, H, W).
        names: Names of the layers.
        count: Number of positions.
        num_classes: Number of classes, without a background.
        coarse_first: See `query_anchors`.
        invalid: See `query_anchors`.
        auxiliary: Whether to return the logits of the classes.
    """
    scope, layers, channels = names.scope, TransformerLayers(graph), maps[0].shape[0]
    shapes = [x.shape[1:] for x in maps]
    anchors, valid = query_anchors(shapes, coarse_first=coarse_first, invalid=invalid)
    flat = [flattened(graph, x, f"{scope}/flat{i}") for i, x in enumerate(maps)]
    memory = graph.concat(flat, f"{scope}/memory", axis=1)
    memory = graph.transpose(memory, (1, 0), f"{scope}/tokens")
    memory = graph.scale(memory, valid, f"{scope}/valid")
    memory = layers.linear(memory, f"{scope}.{names.projection}", channels)
    memory = layers.norm(memory, f"{scope}.{names.norm}")
    scores = layers.linear(memory, f"{scope}.{names.scores}", num_classes)
    best = graph.top_k(graph.max_last(scores, f"{scope}/best"), count, f"{scope}/chosen")
    target = graph.gather(memory, best, f"{scope}/target")
    boxes = layers.mlp(target, f"{scope}.{names.boxes}", (channels, channels, 4))
    start = graph.take(anchors, best, f"{scope}/anchors")
    logits = graph.add(boxes, start, f"{scope}/{names.logits}")
    chosen = graph.gather(scores, best, f"{scope}/chosen/scores") if auxiliary else None
    return Queries(target, logits, chosen)


def encoder_outputs(graph: Graph, queries: Queries, scope: str) -> Queries:
    """Make the queries auxiliary outputs; return those that the decoder starts from.

    As in the originals, the decoder's losses do not train the choice of the queries.
    """
    if queries.scores is None:
        return queries
    boxes = graph.activate(queries.boxes, "sigmoid", f"{scope}/encoder/boxes")
    graph.output(queries.scores, "encoder_logits", auxiliary=True)
    graph.output(boxes, "encoder_boxes", auxiliary=True)
    return queries._replace(
        features=graph.stop_gradient(queries.features, f"{scope}/target/stopped"),
        boxes=graph.stop_gradient(queries.boxes, f"{scope}/logits/stopped"),
    )


def flattened(graph: Graph, x: Value, name: str) -> Value:
    """Return a map (C, H, W) as (C, H * W)."""
    return graph.reshape(x, (x.shape[0], x.shape[1] * x.shape[2]), name)


def limited(graph: Graph, logits: Value, name: str) -> Value:
    """Return logits as they are after a sigmoid and its inverse, which the originals limit."""
    return graph.clip(logits, -_LIMIT, _LIMIT, name)


def query_anchors(
    shapes: Sequence[Sequence[int]], *, coarse_first: bool = False, invalid: float = float("inf")
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the logits of the anchors (L, 4) of all positions, and which are valid (L, 1).

    Args:
        shapes: Rows and columns of each map.
        coarse_first: Whether the first map is the coarsest.
        invalid: Logit of the coordinates of anchors that are not valid.
    """
    found = []
    for level, (rows, columns) in enumerate(shapes):
        power = len(shapes) - 1 - level if coarse_first else level
        y, x = np.mgrid[:rows, :columns].reshape(2, -1)
        side = np.full(x.shape, _ANCHOR * 2.0**power)
        found.append(np.stack(((x + 0.5) / columns, (y + 0.5) / rows, side, side), axis=1))
    boxes = np.concatenate(found)
    valid = ((boxes > _MARGIN) & (boxes < 1 - _MARGIN)).all(axis=1, keepdims=True)
    logits = np.where(valid, np.log(boxes / (1 - boxes)), invalid)
    return logits.astype(np.float32), np.asarray(valid, np.float32)
