"""The classifiers of Focoos, family `fai_cls`: STDC, and one or two 1x1 convolutions.

They are multi-label: every class has a sigmoid of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ModelNotFound
from ..graph import Graph
from ..layers import TorchLayers, image_shape
from ..options import choose
from ..stdc import SIZES, stdc

__all__ = ["build"]

_MAPS = {"res2": 0, "res3": 1, "res4": 2, "res5": 3}
"""Number of stages of the backbone that a map needs."""

_HIDDEN, _OUT = "cls_head.classifier.1", {1: "cls_head.classifier.2", 2: "cls_head.classifier.4"}


def build(
    *,
    size: str = "small",
    num_classes: int = 80,
    features: str = "res5",
    num_layers: int = 1,
    hidden_dim: int = 512,
    image_size: int | Sequence[int] = 224,
    sigmoid: bool = False,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its logits, or up to the scores.

    The input `images` is float32 (N, 3, H, W), RGB, normalized. The output `logits` is float32
    (N, num_classes).

    Parameters have the names of Focoos' state dicts.

    Args:
        size: Size of the backbone, a key of `furiosa_models.networks.stdc.SIZES`.
        num_classes: Number of logits.
        features: Map that is averaged: `res2` to `res5`.
        num_layers: Number of layers after it: 1 or 2.
        hidden_dim: Channels between two layers.
        image_size: Height and width of the input, in pixels; one number for a square.
        sigmoid: Whether the output is the sigmoid of the logits.
        batch_size: Fixed batch size, or None for a dynamic one.

    Raises:
        ModelNotFound: There is no such size, map, or number of layers.
    """
    base, blocks = choose(SIZES, size, "size of STDC")
    if num_layers not in _OUT:
        msg = f"num_layers must be 1 or 2, got {num_layers}"
        raise ModelNotFound(msg)
    graph = Graph(f"fai_cls_{size}", batch_size)
    needed = blocks[: choose(_MAPS, features, "map")]
    maps = stdc(graph, graph.input("images", image_shape(image_size)), "backbone", base, needed)
    layers = TorchLayers(graph, 1e-5)
    x = graph.global_average_pool(maps[features], "cls_head/pool")
    if num_layers == 2:
        x = layers.conv(x, _HIDDEN, hidden_dim, activation="relu")
    x = graph.reshape(
        layers.conv(x, _OUT[num_layers], num_classes), (num_classes,), "cls_head/flatten"
    )
    graph.output(graph.activate(x, "sigmoid", "scores") if sigmoid else x, "logits")
    return graph
