"""SSD MobileNet v2, as trained on COCO with TensorFlow's object detection API."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Value
from ..layers import Slim, image_shape

__all__ = ["build"]

# Expansion, output channels, repeats and first stride of the stages of inverted residuals.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_SCOPE = "FeatureExtractor/MobilenetV2"
_HEAD_BLOCK = 13
"""Index of the block whose expanded features are the input of the finest head."""


def build(
    *,
    num_classes: int = 91,
    image_size: int | Sequence[int] = 300,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its heads: without sigmoid, box decoding and NMS.

    Inputs and outputs are those of `mobilenet_ssd.build`.

    Parameters have the names of TensorFlow's frozen graph.

    Args:
        num_classes: Number of classes, including the background (class 0).
        image_size: Height and width of the input; 300 gives maps with sides of 19, 10, 5, 3, 2, 1.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("mobilenet_v2_ssd", batch_size)
    slim = Slim(graph)
    image = graph.input("image", image_shape(image_size, square=True))
    x = slim.conv(image, f"{_SCOPE}/Conv", 32, 3, stride=2)
    maps = []
    index = 0
    for expansion, channels, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x, expanded = _block(graph, slim, x, index, expansion, channels, stride)
            if index == _HEAD_BLOCK:
                maps.append(expanded)
            index += 1
    x = slim.conv(x, f"{_SCOPE}/Conv_1", 1280)
    maps += [x, *slim.extra_maps(x, f"{_SCOPE}/layer_19", int, depthwise=True)]
    slim.box_predictors(maps, num_classes, 3)
    return graph


def _block(
    graph: Graph, slim: Slim, x: Value, index: int, expansion: int, channels: int, stride: int
) -> tuple[Value, Value]:
    """Add an inverted residual; return its output and its expanded features."""
    scope = f"{_SCOPE}/expanded_conv" + (f"_{index}" if index else "")
    expanded = x if expansion == 1 else slim.conv(x, f"{scope}/expand", expansion * x.shape[0])
    y = slim.depthwise(expanded, f"{scope}/depthwise", stride=stride)
    y = slim.conv(y, f"{scope}/project", channels, linear=True)
    return (graph.add(x, y, f"{scope}/add") if x.shape == y.shape else y), expanded
