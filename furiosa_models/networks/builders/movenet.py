"""MoveNet: CenterNet on MobileNet v2 with a feature pyramid, as published by Google.

The network predicts centers of people, their boxes and joints on a grid of 4 pixels (Zhou et al.
2019, "Objects as Points", arXiv:1904.07850).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..graph import Activation, Graph, Kernel, Layer, Value
from ..layers import image_shape
from ..options import choose
from ..weights import Kind, Parameter

__all__ = ["build"]

_MODEL = "StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/model_1"
_HEADS = "StatefulPartitionedCall"

# Expansion, repeats and first stride of the stages of inverted residuals.
_STAGES = ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1))
# Index of the last block at strides 4, 8 and 16, and channels of the pyramid at these strides.
_LEVELS = ((2, 24), (5, 32), (9, 64))

# Scope in the checkpoint, and channels, of each map. Its first layer has the index of the map among
# the outputs after those of the pyramid, and the last one the next index.
_MAPS = {
    "center": ("center_0", 1),
    "box_scale": ("box_scale_0", 2),
    "box_offset": ("box_offset_0", 2),
    "keypoint_heat": ("kpt_heatmap_0", 17),
    "keypoint_guess": ("kpt_regress_0", 34),
    "keypoint_offset": ("kpt_offset_0", 34),
}
_FIRST_INDEX = 3


class _Variant(NamedTuple):
    """A network of the family.

    Attributes:
        stem: Channels of the first layer.
        stages: Channels of each stage.
        maps: Names of the outputs.
    """

    stem: int
    stages: tuple[int, ...]
    maps: tuple[str, ...]


_VARIANTS = {
    "multipose": _Variant(48, (24, 40, 48, 96, 144, 240, 480), tuple(_MAPS)),
    "thunder": _Variant(
        56,
        (32, 40, 56, 112, 168, 280, 560),
        ("center", "keypoint_heat", "keypoint_guess", "keypoint_offset"),
    ),
}
_SCORES = ("center", "keypoint_heat")


def build(
    *,
    variant: str = "multipose",
    image_size: int | Sequence[int] = 256,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its maps: without the search for peaks.

    The input `image` is float32 (N, 3, H, W), RGB in [-1, 1]. All outputs have a fourth of its
    height and width: `center` (N, 1, ...) and `keypoint_heat` (N, 17, ...), scores of centers of
    people and of joints; `box_scale` and `box_offset` (N, 2, ...), height and width of the box, and
    offset of its center; `keypoint_guess` (N, 34, ...), joints relative to the center of their
    person; `keypoint_offset` (N, 34, ...), offset of a joint of that cell. Vectors are y, x in
    cells. `thunder`, which is wider and finds one person, has no boxes.

    Parameters have the names of the TensorFlow.js graph model, which has folded normalization into
    the convolutions.

    Args:
        variant: `"multipose"` (MultiPose Lightning) or `"thunder"` (SinglePose Thunder).
        image_size: Height and width of the input, multiples of 32.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    stem, stages, outputs = choose(_VARIANTS, variant, "variant of MoveNet")
    graph = Graph("movenet", batch_size)
    layers = _Layers(graph)
    x = graph.input("image", image_shape(image_size, 32))
    model = f"{_MODEL}/model"
    x = layers.conv(x, f"{model}/Conv1/Conv2D", stem, 3, stride=2, activation="relu6")
    last = {block for block, _ in _LEVELS}
    maps = []
    index = 0
    for (expansion, repeats, first_stride), channels in zip(_STAGES, stages, strict=True):
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = layers.block(x, model, index, expansion, channels, stride)
            if index in last:
                maps.append(x)
            index += 1
    x = layers.conv(x, f"{model}/Conv_1/Conv2D", 1280, activation="relu6")
    x = layers.plain(x, f"{_MODEL}/conv2d", 64)
    for level, (features, (_, channels)) in enumerate(
        zip(reversed(maps), reversed(_LEVELS), strict=True)
    ):
        lateral = layers.plain(features, f"{_MODEL}/conv2d_{level + 1}", channels)
        name = f"{_MODEL}/up_sampling2d" + (f"_{level}" if level else "")
        _, height, width = lateral.shape
        x = graph.resize_linear(x, (height, width), name)
        x = graph.add(x, lateral, f"{name}/add")
        fine = _LEVELS[-level - 2][1] if level + 1 < len(_LEVELS) else channels
        scope = f"{_MODEL}/separable_conv2d" + (f"_{level}" if level else "")
        x = layers.separable(x, scope, fine)
    for index, name in enumerate(outputs, _FIRST_INDEX):
        scope, channels = _MAPS[name]
        y = layers.predictor(x, f"{_HEADS}/{scope}", index, channels)
        if name in _SCORES:
            y = graph.activate(y, "sigmoid", f"{_HEADS}/{scope}/Sigmoid")
        graph.output(y, name)
    return graph


class _Layers:
    """Layers under the names that the TensorFlow.js converter gave their weights."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def conv(
        self,
        x: Value,
        scope: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        activation: Activation | None = None,
        names: tuple[str, str] = ("_weights", "_bn_offset"),
    ) -> Value:
        """Add a convolution with a bias, and an activation."""
        shape = (size, size, x.shape[0], channels)
        gain = 2.0 if activation else 1.0
        weights = Parameter(f"{scope}{names[0]}", shape, fan_in=math.prod(shape[:3]), gain=gain)
        bias = Parameter(f"{scope}{names[1]}", (channels,), Kind.BIAS)
        layer = Layer(Kernel(weights, (3, 2, 0, 1)), bias)
        x = self._graph.conv(x, layer, scope, stride=stride)
        return self._graph.activate(x, activation, f"{scope}/activation") if activation else x

    def plain(self, x: Value, scope: str, channels: int) -> Value:
        """Add a 1x1 convolution with a bias."""
        names = ("/Conv2D/ReadVariableOp", "/BiasAdd/ReadVariableOp")
        return self.conv(x, scope, channels, names=names)

    def depthwise(self, x: Value, weights: str, bias: str | None, *, stride: int = 1) -> Value:
        """Add a depthwise 3x3 convolution; with a bias, ReLU6 follows."""
        channels = x.shape[0]
        gain = 1.0 if bias is None else 2.0
        parameter = Parameter(weights, (3, 3, channels, 1), fan_in=9, gain=gain)
        offset = None if bias is None else Parameter(bias, (channels,), Kind.BIAS)
        layer = Layer(Kernel(parameter, (2, 3, 0, 1)), offset)
        x = self._graph.conv(x, layer, weights, stride=stride, groups=channels)
        return x if bias is None else self._graph.activate(x, "relu6", f"{weights}/Relu6")

    def block(
        self, x: Value, model: str, index: int, expansion: int, channels: int, stride: int
    ) -> Value:
        """Add an inverted residual."""
        scope = f"{model}/" + (f"block_{index}" if index else "expanded_conv")
        y = x
        if expansion > 1:
            width = expansion * x.shape[0]
            y = self.conv(x, f"{scope}_expand/Conv2D", width, activation="relu6")
        depthwise = f"{scope}_depthwise/depthwise"
        y = self.depthwise(y, f"{depthwise}_weights", f"{depthwise}_bn_offset", stride=stride)
        y = self.conv(y, f"{scope}_project/Conv2D", channels)
        return self._graph.add(x, y, f"{scope}_add/add") if x.shape == y.shape else y

    def separable(self, x: Value, scope: str, channels: int) -> Value:
        """Add a depthwise 3x3 and a 1x1 convolution, and ReLU: a layer of the pyramid."""
        x = self.depthwise(x, f"{scope}/separable_conv2d/ReadVariableOp", None)
        return self.conv(x, f"{scope}/separable_conv2d", channels, activation="relu")

    def predictor(self, x: Value, scope: str, index: int, channels: int) -> Value:
        """Add the layers of an output."""
        first = f"{scope}/separable_conv2d_{index}"
        names = ("/separable_conv2d/ReadVariableOp_1", "/BiasAdd/ReadVariableOp")
        x = self.depthwise(x, f"{first}/separable_conv2d/ReadVariableOp", None)
        x = self.conv(x, first, 96, activation="relu", names=names)
        return self.plain(x, f"{scope}/conv2d_{index + 1}", channels)
