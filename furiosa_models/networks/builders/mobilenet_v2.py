"""MobileNetV2, ImageNet classifier: Sandler et al., "MobileNetV2: inverted residuals" (2018)."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Value
from ..layers import TorchLayers, image_shape

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
_EPSILON = 1e-5


def build(
    *,
    num_classes: int = 1000,
    image_size: int | Sequence[int] = 224,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its logits, without softmax.

    The input `image` is float32 (N, 3, H, W), RGB, normalized as the checkpoint
    expects. The output `logits` is float32 (N, num_classes).

    Parameters have torchvision's names (`features.1.conv.0.0.weight`).

    Args:
        num_classes: Number of logits.
        image_size: Height and width of the input, in pixels; one number for a square.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("mobilenet_v2", batch_size)
    layers = TorchLayers(graph, _EPSILON)
    x = graph.input("image", image_shape(image_size))
    x = layers.conv(x, "features.0.0", 32, 3, norm="features.0.1", activation="relu6", stride=2)
    index = 1
    for expansion, channels, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = _block(graph, layers, x, f"features.{index}", expansion, channels, stride)
            index += 1
    head = f"features.{index}"
    x = layers.conv(x, f"{head}.0", 1280, norm=f"{head}.1", activation="relu6")
    graph.output(layers.classifier(x, "classifier.1", num_classes), "logits")
    return graph


def _block(
    graph: Graph,
    layers: TorchLayers,
    x: Value,
    name: str,
    expansion: int,
    channels: int,
    stride: int,
) -> Value:
    """Add an inverted residual: expansion unless by 1, depthwise convolution, projection."""
    y, wide, index = x, expansion * x.shape[0], 0
    if expansion != 1:
        part = f"{name}.conv.0"
        y = layers.conv(y, f"{part}.0", wide, norm=f"{part}.1", activation="relu6")
        index = 1
    part = f"{name}.conv.{index}"
    y = layers.conv(
        y, f"{part}.0", wide, 3, norm=f"{part}.1", activation="relu6", stride=stride, groups=wide
    )
    projection, norm = f"{name}.conv.{index + 1}", f"{name}.conv.{index + 2}"
    y = layers.conv(y, projection, channels, norm=norm)
    return graph.add(x, y, f"{name}/add") if x.shape == y.shape else y
