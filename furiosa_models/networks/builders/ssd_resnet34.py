"""SSD with a ResNet-34 backbone, as MLCommons trained it on COCO: 1200x1200 and 81 classes.

Liu et al., "SSD: single shot multibox detector" (2016); MLCommons inference, `ssd-large`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Value
from ..layers import TorchLayers, image_shape
from .resnet import VARIANTS, ResidualLayers

__all__ = ["build"]

_RESNET = VARIANTS["34"]
_ANCHORS = (4, 6, 6, 6, 4, 4)
_HEAD_STRIDE = 3
# Squeezed and output channels, stride and padding of the blocks after the backbone.
_EXTRA_BLOCKS = (
    (256, 512, 2, 1),
    (256, 512, 2, 1),
    (128, 256, 2, 1),
    (128, 256, 2, 0),
    (128, 256, 1, 0),
)


def build(
    *,
    num_classes: int = 81,
    image_size: int | Sequence[int] = 1200,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its heads: without softmax, box decoding and NMS.

    The input `image` is float32 (N, 3, image_size, image_size), RGB, normalized with ImageNet's
    mean and standard deviation. The outputs are `class_0`..`class_5`, logits (N, num_classes *
    anchors, H, W), then `box_0`..`box_5`, box encodings (N, 4 * anchors, H, W) in the order (x, y,
    w, h). Channels are grouped by class or coordinate, and within these by anchor.

    Parameters have the names of MLCommons' state dict, where `model.layer1` is the first half
    of the backbone.

    Args:
        num_classes: Number of classes, including the background (class 0).
        image_size: Height and width of the input; 1200 gives maps of sides 50, 25, 13, 7, 3, 3.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("ssd_resnet34", batch_size)
    layers = TorchLayers(graph, _RESNET.epsilon)
    x = _backbone(graph, layers, graph.input("image", image_shape(image_size, square=True)))
    maps = [x]
    for index, (squeezed, channels, stride, padding) in enumerate(_EXTRA_BLOCKS):
        name = f"additional_blocks.{index}"
        x = layers.conv(x, f"{name}.0", squeezed, activation="relu")
        x = layers.conv(
            x, f"{name}.2", channels, 3, activation="relu", stride=stride, padding=padding
        )
        maps.append(x)
    for scope, output, depth in (("conf", "class", num_classes), ("loc", "box", 4)):
        for index, (x, anchors) in enumerate(zip(maps, _ANCHORS, strict=True)):
            head = layers.conv(x, f"{scope}.{index}", anchors * depth, 3, stride=_HEAD_STRIDE)
            graph.output(head, f"{output}_{index}")
    return graph


def _backbone(graph: Graph, layers: TorchLayers, image: Value) -> Value:
    """Add ResNet-34 up to its third stage, whose stride is 1 instead of 2."""
    residual = ResidualLayers(graph, layers, _RESNET)
    x = residual.stem(image, "model.layer1.0", "model.layer1.1")
    stages = (("layer1.4", 64, 1), ("layer1.5", 128, 2), ("layer2.0", 256, 1))
    for (name, channels, stride), repeats in zip(stages, _RESNET.repeats, strict=False):
        x = residual.stage(x, f"model.{name}", repeats, channels, stride)
    return x
