"""EfficientNet-B0 and EfficientNet-Lite0 to Lite2, ImageNet classifiers (Tan and Le, 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..graph import Activation, Graph, Value
from ..layers import TENSORFLOW_EPSILON, TorchLayers, image_shape
from ..options import choose

__all__ = ["VARIANTS", "Variant", "build"]

# Repeats, kernel size, first stride, expansion and output channels of the seven stages.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class Variant:
    """Scaling of the stages and training resolution of a variant.

    The Lite variants use ReLU6 instead of swish, have no squeeze-and-excitation, and scale neither
    the stem and the head nor the repeats of the first and last stage.

    Attributes:
        width: Factor of the number of channels.
        depth: Factor of the number of blocks per stage.
        image_size: Height and width of the training images, in pixels.
        lite: Whether this is a Lite variant.
    """

    width: float
    depth: float
    image_size: int
    lite: bool = False

    def channels(self, channels: int, *, end: bool = False) -> int:
        """Return the scaled number of channels, a multiple of 8; `end` marks stem and head."""
        if end and self.lite:
            return channels
        scaled = channels * self.width
        rounded = max(8, int(scaled + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * scaled else rounded

    def repeats(self, repeats: int, *, end: bool) -> int:
        """Return the scaled number of blocks; `end` marks the first and last stage."""
        return repeats if end and self.lite else math.ceil(repeats * self.depth)


VARIANTS = {
    "b0": Variant(1.0, 1.0, 224),
    "lite0": Variant(1.0, 1.0, 224, lite=True),
    "lite1": Variant(1.0, 1.1, 240, lite=True),
    "lite2": Variant(1.1, 1.2, 260, lite=True),
}


def build(
    *,
    variant: str = "b0",
    num_classes: int = 1000,
    image_size: int | Sequence[int] | None = None,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its logits, without softmax.

    The input `image` is float32 (N, 3, H, W), RGB, normalized as the checkpoint
    expects. The output `logits` is float32 (N, num_classes).

    Parameters have the names of the PyTorch state dicts (`_blocks.0._bn1.weight`).

    Args:
        variant: Variant, a key of `VARIANTS`.
        num_classes: Number of logits.
        image_size: Height and width of the input in pixels, one number for a square; by default
            those of the variant.
        batch_size: Fixed batch size, or None for a dynamic one.

    Raises:
        ModelNotFound: There is no such variant.
    """
    spec = choose(VARIANTS, variant, "EfficientNet variant")
    size = image_size or spec.image_size
    graph = Graph(f"efficientnet_{variant}", batch_size)
    layers = TorchLayers(graph, TENSORFLOW_EPSILON, momentum=0.99, padding="same")
    activation: Activation = "relu6" if spec.lite else "swish"
    image = graph.input("image", image_shape(size))
    stem = spec.channels(32, end=True)
    x = layers.conv(image, "_conv_stem", stem, 3, norm="_bn0", activation=activation, stride=2)
    index = 0
    for stage, (repeats, kernel, first_stride, expansion, channels) in enumerate(_STAGES):
        for repeat in range(spec.repeats(repeats, end=stage in (0, len(_STAGES) - 1))):
            block = _Block(graph, layers, f"_blocks.{index}", activation)
            stride = first_stride if repeat == 0 else 1
            x = block(x, kernel, stride, expansion, spec.channels(channels))
            index += 1
    head = spec.channels(1280, end=True)
    x = layers.conv(x, "_conv_head", head, norm="_bn1", activation=activation)
    graph.output(layers.classifier(x, "_fc", num_classes), "logits")
    return graph


class _Block:
    """An inverted residual: expansion, depthwise convolution, squeeze-and-excitation, projection.

    The activation (Lite or not) and the arguments determine which of these layers exist.
    """

    def __init__(
        self, graph: Graph, layers: TorchLayers, name: str, activation: Activation
    ) -> None:
        self._graph = graph
        self._layers = layers
        self._name = name
        self._activation = activation

    def __call__(self, x: Value, kernel: int, stride: int, expansion: int, channels: int) -> Value:
        name, conv = self._name, self._layers.conv
        act = self._activation
        y, wide = x, expansion * x.shape[0]
        if expansion != 1:
            y = conv(y, f"{name}._expand_conv", wide, norm=f"{name}._bn0", activation=act)
        y = conv(
            y,
            f"{name}._depthwise_conv",
            wide,
            kernel,
            norm=f"{name}._bn1",
            activation=act,
            stride=stride,
            groups=wide,
        )
        if act == "swish":
            gates = (f"{name}._se_reduce", f"{name}._se_expand")
            y = self._layers.excite(y, name, gates, x.shape[0] // 4)
        # With random weights, gates halve their input; the gain of random kernels compensates.
        gain = 2.0 if act == "swish" else 1.0
        y = conv(y, f"{name}._project_conv", channels, norm=f"{name}._bn2", gain=gain)
        return self._graph.add(x, y, f"{name}/add") if x.shape == y.shape else y
