"""SSD MobileNet v1, as trained on COCO with TensorFlow's object detection API."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph
from ..layers import Slim, image_shape

__all__ = ["build"]

# Output channels and stride of the thirteen depthwise-separable blocks.
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
_MIN_DEPTH = 16


def build(
    *,
    depth_multiplier: float = 1.0,
    num_classes: int = 91,
    image_size: int | Sequence[int] = 300,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its heads: without sigmoid, box decoding and NMS.

    The input `image` is float32 (N, 3, image_size, image_size), RGB in [-1, 1]. The outputs for k =
    0..5 are `class_k` (N, anchors * num_classes, H, W), logits, and `box_k` (N, anchors * 4, H, W),
    box encodings (ty, tx, th, tw). Channels are grouped by anchor.

    Parameters have the names of TensorFlow's checkpoints.

    Args:
        depth_multiplier: Factor of the number of channels of every layer.
        num_classes: Number of classes, including the background (class 0).
        image_size: Height and width of the input; 300 gives maps with sides of 19, 10, 5, 3, 2, 1.
        batch_size: Fixed batch size, or None for a dynamic one.
    """

    def depth(channels: int) -> int:
        return max(int(channels * depth_multiplier), _MIN_DEPTH)

    graph = Graph("mobilenet_ssd", batch_size)
    slim = Slim(graph)
    scope = "FeatureExtractor/MobilenetV1/Conv2d"
    x = graph.input("image", image_shape(image_size, square=True))
    x = slim.conv(x, f"{scope}_0", depth(32), 3, stride=2)
    maps = []
    for index, (channels, stride) in enumerate(_BLOCKS, start=1):
        x = slim.depthwise(x, f"{scope}_{index}_depthwise", stride=stride)
        x = slim.conv(x, f"{scope}_{index}_pointwise", depth(channels))
        if index in (11, 13):
            maps.append(x)
    maps += slim.extra_maps(x, f"{scope}_13_pointwise", depth, depthwise=False)
    slim.box_predictors(maps, num_classes, 1)
    return graph
