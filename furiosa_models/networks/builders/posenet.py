"""PoseNet on MobileNetV1: joints of people and their connections (arXiv:1803.08225)."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph
from ..layers import Slim, image_shape

__all__ = ["build"]

# Output channels at full width, and stride, of the thirteen depthwise-separable blocks.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 7)
_STEM = 32
_OUTPUTS = {"heatmap": 17, "offset": 34, "displacement_fwd": 32, "displacement_bwd": 32}
_SCOPE = "MobilenetV1"


def build(
    *,
    depth_multiplier: float = 0.75,
    image_size: int | Sequence[int] = 337,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its maps: without the search for people.

    The input `image` is float32 (N, 3, H, W), RGB in [-1, 1]. The outputs have a cell for each 16
    pixels: `heatmap` (N, 17, ...), logits of joints; `offset` (N, 34, ...), from a cell to the
    joint; `displacement_fwd` and `displacement_bwd` (N, 32, ...), from a joint to the next and to
    the one before, along 16 connections. Vectors are in pixels: all y, then all x.

    Parameters have the names of TensorFlow's checkpoints.

    Args:
        depth_multiplier: Factor of the channels of MobileNetV1.
        image_size: Height and width of the input, multiples of 16 plus 1.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("posenet", batch_size)
    slim = Slim(graph)
    x = graph.input("image", image_shape(image_size))
    x = slim.conv(x, f"{_SCOPE}/Conv2d_0", int(_STEM * depth_multiplier), 3, stride=2)
    for index, (channels, stride) in enumerate(_BLOCKS, start=1):
        scope = f"{_SCOPE}/Conv2d_{index}"
        x = slim.depthwise(x, f"{scope}_depthwise", stride=stride)
        x = slim.conv(x, f"{scope}_pointwise", int(channels * depth_multiplier))
    for name, channels in _OUTPUTS.items():
        graph.output(slim.biased(x, f"{_SCOPE}/{name}_2", channels), name)
    return graph
