"""DeepLabV3 on MobileNetV2, semantic segmentation of Pascal VOC (arXiv:1706.05587, 1801.04381)."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Value
from ..layers import Slim, image_shape

__all__ = ["build"]

# Expansion, output channels at full width, repeats, first stride, and dilation of the stages. The
# strides of the last two stages of MobileNetV2 are replaced by dilation: the output stride is 8.
_STAGES = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 1, 2),
    (6, 96, 3, 1, 2),
    (6, 160, 3, 1, 4),
    (6, 320, 1, 1, 4),
)
_STEM = 32
_LEAST = 8
_DEPTH = 256
_SCOPE = "MobilenetV2"


def build(
    *,
    num_classes: int = 21,
    depth_multiplier: float = 0.5,
    image_size: int | Sequence[int] = 257,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its logits at the size of the image, without softmax.

    The input `image` is float32 (N, 3, H, W), RGB in -1..1. The output `logits` is float32 (N,
    num_classes, H, W), resized with aligned corners.

    Parameters have the names of TensorFlow's frozen graph.

    Args:
        num_classes: Number of classes, including the background.
        depth_multiplier: Factor of the channels of MobileNetV2.
        image_size: Height and width of the input; multiples of 8 plus 1 keep corners aligned.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("deeplab_v3", batch_size)
    slim = Slim(graph)
    image = graph.input("image", image_shape(image_size))
    x = slim.conv(image, f"{_SCOPE}/Conv", _width(_STEM, depth_multiplier), 3, stride=2)
    index = 0
    rate = 1  # of the dilation: the first block of a stage still has that of the stage before
    for expansion, channels, repeats, first_stride, dilation in _STAGES:
        for repeat in range(repeats):
            scope = f"{_SCOPE}/expanded_conv" + (f"_{index}" if index else "")
            stride = first_stride if repeat == 0 else 1
            width = _width(channels, depth_multiplier)
            x = _block(graph, slim, x, scope, expansion, width, stride, rate)
            rate, index = dilation, index + 1
    logits = slim.biased(_pyramid(graph, slim, x), "logits/semantic", num_classes)
    height, width = image.shape[1:]
    resized = graph.resize_linear(logits, (height, width), "resized", align_corners=True)
    graph.output(resized, "logits")
    return graph


def _width(channels: int, multiplier: float) -> int:
    return max(_LEAST, int(channels * multiplier))


def _block(
    graph: Graph,
    slim: Slim,
    x: Value,
    scope: str,
    expansion: int,
    channels: int,
    stride: int,
    dilation: int,
) -> Value:
    """Add an inverted residual: expansion unless by 1, depthwise convolution, projection."""
    y = x if expansion == 1 else slim.conv(x, f"{scope}/expand", expansion * x.shape[0])
    y = slim.depthwise(y, f"{scope}/depthwise", stride=stride, dilation=dilation)
    y = slim.conv(y, f"{scope}/project", channels, linear=True)
    return graph.add(y, x, f"{scope}/add") if x.shape == y.shape else y


def _pyramid(graph: Graph, slim: Slim, x: Value) -> Value:
    """Add the pooling of features over the image, and their projection."""
    height, width = x.shape[1:]
    pooled = graph.global_average_pool(x, "image_pooling/pool")
    pooled = slim.conv(pooled, "image_pooling", _DEPTH, activation="relu")
    pooled = graph.resize_linear(pooled, (height, width), "image_pooling/resized")
    features = slim.conv(x, "aspp0", _DEPTH, activation="relu")
    joined = graph.concat([pooled, features], "concat")
    return slim.conv(joined, "concat_projection", _DEPTH, activation="relu")
