"""YOLOv5 v6, object detectors: Jocher et al., "YOLOv5 by Ultralytics" (2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..graph import Activation, Graph, Value
from ..layers import STEM_GAIN, YoloLayers, image_shape
from ..options import choose

__all__ = ["VARIANTS", "build"]

# Factors of the number of bottlenecks and of the number of channels.
VARIANTS = {
    "n": (1 / 3, 0.25),
    "s": (1 / 3, 0.5),
    "m": (2 / 3, 0.75),
    "l": (1.0, 1.0),
    "x": (4 / 3, 1.25),
}
_STRIDE = 32
_ANCHORS = 3
_RESIDUAL_GAIN = 0.1
"""Gain of the last kernel of a bottleneck of random weights: keeps sums of residuals bounded."""


def build(
    *,
    variant: str = "l",
    num_classes: int = 80,
    image_size: int | Sequence[int] = 640,
    sigmoid: bool = False,
    activation: Activation = "swish",
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its heads: without box decoding and NMS.

    The input `images` is float32 (N, 3, H, W), RGB in [0, 1]. The outputs `p3`, `p4` and `p5` are
    float32 (N, 3 * (5 + num_classes), H / s, W / s) with the strides s of 8, 16 and 32. Channels
    are grouped by anchor: x, y, w, h, objectness and the classes.

    Parameters have the names of Ultralytics' state dict (`model.0.conv.weight`).

    Args:
        variant: Variant, a key of `VARIANTS`.
        num_classes: Number of classes, without a background.
        image_size: Height and width of the input, multiples of 32; one number for a square.
        sigmoid: Whether to apply the sigmoid to the outputs.
        activation: Activation of every layer; the public checkpoints use `"swish"`.
        batch_size: Fixed batch size, or None for a dynamic one.

    Raises:
        ModelNotFound: There is no such variant.
        ShapeError: `image_size` is not a multiple of 32.
    """
    depth, width = choose(VARIANTS, variant, "YOLOv5 variant")
    graph = Graph(f"yolov5{variant}", batch_size)
    image = graph.input("images", image_shape(image_size, _STRIDE))
    stages = _Stages(graph, YoloLayers(graph, activation), depth, width)
    for index, x in enumerate(stages.features(image)):
        head = stages.head(x, f"model.24.m.{index}", _ANCHORS * (5 + num_classes))
        if sigmoid:
            head = graph.activate(head, "sigmoid", f"p{index + 3}/sigmoid")
        graph.output(head, f"p{index + 3}")
    return graph


class _Stages:
    """The modules `model.0` to `model.24`, with scaled depths and widths."""

    def __init__(self, graph: Graph, layers: YoloLayers, depth: float, width: float) -> None:
        self._graph = graph
        self._layers = layers
        self._depth = depth
        self._width = width
        self.head = layers.predictor

    def features(self, image: Value) -> tuple[Value, Value, Value]:
        """Return feature maps with strides of 8, 16 and 32, each combined with the others."""
        x = self._layers.unit(
            image, "model.0", self._channels(64), 6, stride=2, padding=2, gain=STEM_GAIN
        )
        x = self._csp(self._down(x, 1, 128), 2, 128, 3)
        fine = self._csp(self._down(x, 3, 256), 4, 256, 6)
        middle = self._csp(self._down(fine, 5, 512), 6, 512, 9)
        coarse = self._csp(self._down(middle, 7, 1024), 8, 1024, 3)
        coarse = self._layers.unit(self._pooled(coarse, 9), "model.10", self._channels(512))
        middle = self._csp(self._merged(coarse, middle, 11), 13, 512, 3, False)
        middle = self._layers.unit(middle, "model.14", self._channels(256))
        p3 = self._csp(self._merged(middle, fine, 15), 17, 256, 3, False)
        down = self._graph.concat([self._down(p3, 18, 256), middle], "model.19")
        p4 = self._csp(down, 20, 512, 3, False)
        down = self._graph.concat([self._down(p4, 21, 512), coarse], "model.22")
        return p3, p4, self._csp(down, 23, 1024, 3, False)

    def _channels(self, channels: int) -> int:
        """Return the scaled number of channels, a multiple of 8."""
        return math.ceil(channels * self._width / 8) * 8

    def _down(self, x: Value, index: int, channels: int) -> Value:
        return self._layers.unit(x, f"model.{index}", self._channels(channels), 3, stride=2)

    def _merged(self, coarse: Value, fine: Value, index: int) -> Value:
        wide = self._graph.resize_nearest(coarse, 2, f"model.{index}")
        return self._graph.concat([wide, fine], f"model.{index + 1}")

    def _csp(
        self, x: Value, index: int, channels: int, repeats: int, shortcut: bool = True
    ) -> Value:
        """Add the module `C3`: half of the channels pass through bottlenecks, half bypass them."""
        name, unit, half = f"model.{index}", self._layers.unit, self._channels(channels) // 2
        y = unit(x, f"{name}.cv1", half)
        for repeat in range(max(round(repeats * self._depth), 1)):
            bottleneck = f"{name}.m.{repeat}"
            z = unit(y, f"{bottleneck}.cv1", half)
            if shortcut:
                z = unit(z, f"{bottleneck}.cv2", half, 3, gain=_RESIDUAL_GAIN)
                y = self._graph.add(y, z, f"{bottleneck}/add")
            else:
                y = unit(z, f"{bottleneck}.cv2", half, 3)
        both = self._graph.concat([y, unit(x, f"{name}.cv2", half)], f"{name}/concat")
        return unit(both, f"{name}.cv3", 2 * half)

    def _pooled(self, x: Value, index: int) -> Value:
        """Add spatial pyramid pooling (module `SPPF`)."""
        name, unit = f"model.{index}", self._layers.unit
        y = unit(x, f"{name}.cv1", x.shape[0] // 2)
        return unit(self._layers.pooled(y, name), f"{name}.cv2", x.shape[0])
