"""Layers that YOLOv5 and YOLOv7 share, under the names of their PyTorch modules."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ShapeError
from .graph import Activation, Graph, Padding, Value
from .torch_layers import TorchLayers
from .weights import Weights

__all__ = ["EPSILON", "STEM_GAIN", "YoloLayers", "image_shape"]

EPSILON = 1e-3
"""What the networks' batch normalisation adds to the variance."""

STEM_GAIN = 100.0
"""Of the first kernel in random weights.

Swish keeps the scale of large signals, as ReLU does, and lets small ones die out: networks this
deep only stay alive with large ones.
"""

_GAIN = 2.05
_PREDICTOR_GAIN = 0.01


class YoloLayers:
    """Layers that take their parameters from `weights` by module name.

    Args:
        graph: Where the layers are added.
        weights: Parameters under the names of the state dict.
        activation: What follows every normalisation.
    """

    def __init__(self, graph: Graph, weights: Weights, activation: Activation = "swish") -> None:
        self._graph = graph
        self._layers = TorchLayers(graph, weights, EPSILON)
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
        gain: float = _GAIN,
    ) -> Value:
        """Convolution, batch normalisation, activation."""
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
            gain=gain,
        )

    def predictor(self, x: Value, name: str, channels: int) -> Value:
        """A 1x1 convolution with a bias."""
        return self._layers.conv(x, name, channels, gain=_PREDICTOR_GAIN)

    def pooled(self, x: Value, name: str) -> Value:
        """`x` beside its maxima over 5x5, 9x9 and 13x13 pixels.

        The larger windows are a 5x5 one applied twice and three times.
        """
        maps = [x]
        for index in range(3):
            pool = f"{name}/pool{index}"
            maps.append(self._graph.max_pool(maps[-1], 5, pool, stride=1, padding="half"))
        return self._graph.concat(maps, f"{name}/concat")


def image_shape(image_size: int | Sequence[int], stride: int) -> tuple[int, int, int]:
    """Shape of an RGB image (3, H, W) of `image_size`, either (H, W) or one number for both.

    Raises:
        ShapeError: A side is not a positive multiple of `stride`, the network's coarsest one.
    """
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or any(side < stride or side % stride for side in sides):
        msg = f"expected an image_size of multiples of {stride}, got {image_size}"
        raise ShapeError(msg)
    return (3, *sides)
