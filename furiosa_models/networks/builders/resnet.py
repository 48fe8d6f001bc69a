"""ResNet, ImageNet classifiers: He et al., "Deep residual learning for image recognition" (2015).

The module builds v1 and v1.5. The blocks of v1 have the stride of a stage in the first 1x1
convolution. Those of v1.5 have it in the following 3x3 convolution, which is half a percentage
point more accurate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph import INT64, Graph, Value
from ..layers import TorchLayers, image_shape
from ..options import choose

__all__ = ["VARIANTS", "ResidualLayers", "Variant", "build"]

_RESIDUAL_GAIN = 0.2
"""Gain of the last kernel of a block of random weights: keeps the sum of residuals bounded."""


@dataclass(frozen=True)
class Variant:
    """A depth of the network, with properties of its checkpoints.

    Attributes:
        repeats: Number of blocks in each of the four stages.
        bottleneck: Whether a block is 1x1, 3x3, 1x1 with a fourfold expansion; else it is 3x3, 3x3.
        early_stride: Whether the first convolution of bottlenecks has the stride (v1).
        epsilon: Constant that batch normalization adds to the variance.
    """

    repeats: tuple[int, int, int, int]
    bottleneck: bool = True
    early_stride: bool = False
    epsilon: float = 1e-5


VARIANTS = {
    "18": Variant((2, 2, 2, 2), bottleneck=False),
    "34": Variant((3, 4, 6, 3), bottleneck=False),
    "50": Variant((3, 4, 6, 3)),
    "50_v1": Variant((3, 4, 6, 3), early_stride=True, epsilon=1e-3),
}


def build(
    *,
    variant: str = "50",
    num_classes: int = 1000,
    image_size: int | Sequence[int] = 224,
    argmax: bool = False,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its logits, without softmax, or up to the index of the best class.

    The input `image` is float32 (N, 3, H, W), in the channel order and scale that
    the checkpoint expects. The output `logits` is float32 (N, num_classes).

    Parameters have torchvision's names (`layer1.0.conv1.weight`).

    Args:
        variant: Variant, a key of `VARIANTS`; `"50"` is v1.5.
        num_classes: Number of logits.
        image_size: Height and width of the input, in pixels; one number for a square.
        argmax: Whether the output is `argmax` instead of the logits: int64 (N,), the index of the
            largest logit plus one. MLCommons counts from one, because its networks reserve 0 for
            the background.
        batch_size: Fixed batch size, or None for a dynamic one.

    Raises:
        ModelNotFound: There is no such variant.
    """
    spec = choose(VARIANTS, variant, "ResNet variant")
    graph = Graph(f"resnet_{variant}", batch_size)
    layers = TorchLayers(graph, spec.epsilon)
    residual = ResidualLayers(graph, layers, spec)
    x = residual.stem(graph.input("image", image_shape(image_size)), "conv1", "bn1")
    for index, repeats in enumerate(spec.repeats):
        stride = 2 if index else 1
        x = residual.stage(x, f"layer{index + 1}", repeats, 64 << index, stride)
    logits = layers.classifier(x, "fc", num_classes)
    if argmax:
        best = graph.argmax(logits, "argmax", first=1)
        graph.output(best, "argmax", INT64)
    else:
        graph.output(logits, "logits")
    return graph


class ResidualLayers:
    """Stem and stages of a ResNet."""

    def __init__(self, graph: Graph, layers: TorchLayers, variant: Variant) -> None:
        self._graph = graph
        self._layers = layers
        self._variant = variant

    def stem(self, image: Value, conv: str, norm: str) -> Value:
        """Convert the image (3, H, W) to 64 channels of a quarter of its height and width."""
        x = self._layers.conv(image, conv, 64, 7, norm=norm, activation="relu", stride=2)
        return self._graph.max_pool(x, 3, f"{conv}/pool", stride=2, padding="half")

    def stage(self, x: Value, name: str, repeats: int, channels: int, stride: int) -> Value:
        """Add the blocks `{name}.0`, ...; the first one divides height and width by `stride`."""
        for index in range(repeats):
            x = self._block(x, f"{name}.{index}", channels, stride if index == 0 else 1)
        return x

    def _block(self, x: Value, name: str, channels: int, stride: int) -> Value:
        """Add two or three convolutions and a shortcut, followed by a ReLU."""
        spec, conv = self._variant, self._layers.conv
        kernels = [(3, channels), (3, channels)]
        if spec.bottleneck:
            kernels = [(1, channels), (3, channels), (1, 4 * channels)]
        strided = 2 if spec.bottleneck and not spec.early_stride else 1
        y = x
        for index, (size, width) in enumerate(kernels, start=1):
            last = index == len(kernels)
            y = conv(
                y,
                f"{name}.conv{index}",
                width,
                size,
                norm=f"{name}.bn{index}",
                activation=None if last else "relu",
                stride=stride if index == strided else 1,
                gain=_RESIDUAL_GAIN if last else None,
            )
        if x.shape != y.shape:
            down = f"{name}.downsample"
            x = conv(x, f"{down}.0", y.shape[0], norm=f"{down}.1", stride=stride)
        return self._graph.activate(self._graph.add(y, x, f"{name}/add"), "relu", f"{name}/act")
