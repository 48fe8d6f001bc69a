"""EfficientNetV2-S, ImageNet classifier: Tan and Le, "EfficientNetV2: smaller models" (2021)."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Value
from ..layers import TENSORFLOW_EPSILON, TorchLayers, image_shape

__all__ = ["build"]

# Whether the blocks are fused, repeats, first stride, expansion and output channels of the stages.
_STAGES = (
    (True, 2, 1, 1, 24),
    (True, 4, 2, 4, 48),
    (True, 4, 2, 4, 64),
    (False, 6, 2, 4, 128),
    (False, 9, 1, 6, 160),
    (False, 15, 2, 6, 256),
)

# Gain of the first kernel of random weights: swish damps small signals and keeps large ones.
_STEM_GAIN = 100.0
# Gain of the last kernel of a block: keeps the sum of forty residuals bounded, given that gates of
# random weights halve their input.
_FUSED_GAIN = 0.1
_GATED_GAIN = 0.4


def build(
    *,
    num_classes: int = 1000,
    image_size: int | Sequence[int] = 384,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its logits, without softmax.

    The input `image` is float32 (N, 3, H, W), RGB, normalized as the checkpoint
    expects. The output `logits` is float32 (N, num_classes).

    Parameters have torchvision's names (`features.1.0.block.0.0.weight`).

    Args:
        num_classes: Number of logits.
        image_size: Height and width of the input, in pixels; one number for a square.
        batch_size: Fixed batch size, or None for a dynamic one.
    """
    graph = Graph("efficientnet_v2", batch_size)
    layers = TorchLayers(graph, TENSORFLOW_EPSILON)
    x = graph.input("image", image_shape(image_size))
    x = layers.conv(
        x,
        "features.0.0",
        24,
        3,
        norm="features.0.1",
        activation="swish",
        stride=2,
        gain=_STEM_GAIN,
    )
    for stage, (fused, repeats, first_stride, expansion, channels) in enumerate(_STAGES, start=1):
        for repeat in range(repeats):
            name, stride = f"features.{stage}.{repeat}", first_stride if repeat == 0 else 1
            block = _fused_block if fused else _block
            y = block(layers, x, f"{name}.block", expansion, channels, stride)
            x = graph.add(y, x, f"{name}/add") if x.shape == y.shape else y
    head = f"features.{len(_STAGES) + 1}"
    x = layers.conv(x, f"{head}.0", 1280, norm=f"{head}.1", activation="swish")
    graph.output(layers.classifier(x, "classifier.1", num_classes), "logits")
    return graph


def _fused_block(
    layers: TorchLayers, x: Value, name: str, expansion: int, channels: int, stride: int
) -> Value:
    """Add a 3x3 convolution that expands, and a projection unless the expansion is 1."""
    wide = expansion * x.shape[0] if expansion != 1 else channels
    first, last = f"{name}.0", f"{name}.1"
    y = layers.conv(x, f"{first}.0", wide, 3, norm=f"{first}.1", activation="swish", stride=stride)
    if expansion == 1:
        return y
    return layers.conv(y, f"{last}.0", channels, norm=f"{last}.1", gain=_FUSED_GAIN)


def _block(
    layers: TorchLayers, x: Value, name: str, expansion: int, channels: int, stride: int
) -> Value:
    """Add an expansion, a depthwise 3x3 convolution, squeeze-and-excitation and a projection."""
    wide = expansion * x.shape[0]
    expand, depthwise, excite, project = (f"{name}.{index}" for index in range(4))
    y = layers.conv(x, f"{expand}.0", wide, norm=f"{expand}.1", activation="swish")
    y = layers.conv(
        y,
        f"{depthwise}.0",
        wide,
        3,
        norm=f"{depthwise}.1",
        activation="swish",
        stride=stride,
        groups=wide,
    )
    y = layers.excite(y, excite, (f"{excite}.fc1", f"{excite}.fc2"), x.shape[0] // 4)
    return layers.conv(y, f"{project}.0", channels, norm=f"{project}.1", gain=_GATED_GAIN)
