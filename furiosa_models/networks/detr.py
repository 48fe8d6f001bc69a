"""What detectors with queries share: the encoder of a map, anchors, and limits of coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .graph import Graph, Value
from .transformer import TransformerLayers, sine_positions

__all__ = ["encoded_map", "flattened", "limited", "query_anchors"]

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
