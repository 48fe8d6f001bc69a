"""U-2-Net, salient objects: Qin et al., "U2-Net: going deeper with nested U-structure" (2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..graph import Graph, Value
from ..layers import TorchLayers, image_shape
from ..options import choose

__all__ = ["EPSILON", "build", "convolutions"]

# Height (number of levels), middle and output channels of the blocks; height 0 is the block that
# dilates instead of pooling. The encoder, then the decoder from the deepest block.
_Blocks = tuple[tuple[str, int, int, int], ...]
_VARIANTS: Mapping[str, tuple[_Blocks, _Blocks]] = {
    "full": (
        (
            ("stage1", 7, 32, 64),
            ("stage2", 6, 32, 128),
            ("stage3", 5, 64, 256),
            ("stage4", 4, 128, 512),
            ("stage5", 0, 256, 512),
            ("stage6", 0, 256, 512),
        ),
        (
            ("stage5d", 0, 256, 512),
            ("stage4d", 4, 128, 256),
            ("stage3d", 5, 64, 128),
            ("stage2d", 6, 32, 64),
            ("stage1d", 7, 16, 64),
        ),
    ),
    "p": (
        tuple((f"stage{i}", 8 - i if i < 5 else 0, 16, 64) for i in range(1, 7)),
        tuple((f"stage{i}d", 8 - i if i < 5 else 0, 16, 64) for i in range(5, 0, -1)),
    ),
}
EPSILON = 1e-5
"""Constant that the batch normalization of U-2-Net adds to the variance."""

_STRIDE = 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(
    *,
    variant: str = "full",
    image_size: int | Sequence[int] = 320,
    batch_size: int | None = None,
    auxiliary: bool = False,
) -> Graph:
    """Describe the network up to its fused map, with the sigmoid.

    The input `image` is float32 (N, 3, H, W), RGB of any scale: as by its authors, an image is
    divided by its brightest value and standardized with ImageNet's statistics, here in the graph.
    The output `matte` is float32 (N, 1, H, W), between 0 and 1.

    Parameters have the names of the authors' checkpoints (`stage1.rebnconvin.conv_s1.weight`).

    Args:
        variant: `"full"` (U-2-Net, 44 M parameters) or `"p"` (1.1 M).
        image_size: Height and width of the input, in multiples of 32 pixels.
        batch_size: Fixed batch size, or None for a dynamic one.
        auxiliary: Whether to add the six maps beside it, `side1/matte` and so on, for training.
    """
    encoder, decoder = choose(_VARIANTS, variant, "variant of U-2-Net")
    graph = Graph("u2net", batch_size)
    net = _Layers(graph)
    image = graph.input("image", image_shape(image_size, _STRIDE))
    x = graph.standardize(graph.brightness(image, "brightness"), _MEAN, _STD, "standardized")
    maps = []
    for name, height, middle, channels in encoder:
        x = net.block(x, name, height, middle, channels)
        maps.append(x)
        if len(maps) < len(encoder):
            x = graph.max_pool(x, 2, f"pool{len(maps)}{len(maps) + 1}", stride=2, padding=0)
    sides = [maps[-1]]
    for (name, height, middle, channels), skip in zip(decoder, maps[-2::-1], strict=True):
        joined = net.joined(sides[-1], skip, f"{name}/joined")
        sides.append(net.block(joined, name, height, middle, channels))
    fine = [net.side(each, f"side{i}") for i, each in enumerate(reversed(sides), 1)]
    size = image.shape[1], image.shape[2]
    resized = [net.resized(each, size, f"side{i}/resized") for i, each in enumerate(fine, 1)]
    fused = net.layers.conv(graph.concat(resized, "sides"), "outconv", 1, gain=1.0)
    graph.output(graph.activate(fused, "sigmoid", "fused"), "matte")
    for i, each in enumerate(resized if auxiliary else (), 1):
        side = graph.activate(each, "sigmoid", f"side{i}/sigmoid")
        graph.output(side, f"side{i}/matte", auxiliary=True)
    return graph


def convolutions(variant: str) -> list[str]:
    """Return the names of the normalized convolutions in their order, without `.conv_s1`.

    Args:
        variant: As for `build`.
    """
    nodes = build(variant=variant).nodes
    layers = [node.layer for node in nodes if node.layer is not None and node.layer.norm]
    names = [layer.kernel.parameter.name for layer in layers]
    return [name.removesuffix(".conv_s1.weight") for name in names]


class _Layers:
    """Residual U-blocks, which are U-networks themselves."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.layers = TorchLayers(graph, EPSILON)

    def unit(self, x: Value, name: str, channels: int, dilation: int = 1) -> Value:
        """Add a 3x3 convolution with a bias, batch normalization and ReLU."""
        return self.layers.conv(
            x,
            f"{name}.conv_s1",
            channels,
            3,
            norm=f"{name}.bn_s1",
            activation="relu",
            padding=dilation,
            dilation=dilation,
            bias=True,
        )

    def block(self, x: Value, name: str, height: int, middle: int, channels: int) -> Value:
        """Add a block with a height, or one with dilation if it is 0."""
        x = self.unit(x, f"{name}.rebnconvin", channels)
        y = self._pooling(x, name, height, middle) if height else self._dilating(x, name, middle)
        return self._graph.add(y, x, f"{name}/add")

    def joined(self, x: Value, skip: Value, name: str) -> Value:
        """Enlarge `x` to the size of an earlier map, and concatenate them."""
        size = skip.shape[1], skip.shape[2]
        return self._graph.concat([self.resized(x, size, f"{name}/resized"), skip], name)

    def resized(self, x: Value, size: tuple[int, int], name: str) -> Value:
        """Resize `x`, if it has another size."""
        return x if x.shape[1:] == size else self._graph.resize_linear(x, size, name)

    def side(self, x: Value, name: str) -> Value:
        """Add the convolution that makes a map of logits."""
        return self.layers.conv(x, name, 1, 3, gain=1.0)

    def _pooling(self, x: Value, name: str, height: int, middle: int) -> Value:
        maps = []
        y = x
        for level in range(1, height):
            y = self.unit(y, f"{name}.rebnconv{level}", middle)
            maps.append(y)
            if level < height - 1:
                y = self._graph.max_pool(y, 2, f"{name}.pool{level}", stride=2, padding=0)
        y = self.unit(y, f"{name}.rebnconv{height}", middle, 2)
        for level in range(height - 1, 0, -1):
            skip, part = maps[level - 1], f"{name}.rebnconv{level}d"
            y = self.unit(self.joined(y, skip, f"{part}/joined"), part, self._out(x, level, middle))
        return y

    def _dilating(self, x: Value, name: str, middle: int) -> Value:
        maps = [x]
        for level, dilation in ((1, 1), (2, 2), (3, 4)):
            maps.append(self.unit(maps[-1], f"{name}.rebnconv{level}", middle, dilation))
        y = self.unit(maps[-1], f"{name}.rebnconv4", middle, 8)
        for level, dilation in ((3, 4), (2, 2), (1, 1)):
            part = f"{name}.rebnconv{level}d"
            joined = self._graph.concat([y, maps[level]], f"{part}/joined")
            y = self.unit(joined, part, self._out(x, level, middle), dilation)
        return y

    def _out(self, x: Value, level: int, middle: int) -> int:
        """Return the channels of a level of the decoder: those of the block for the last one."""
        return x.shape[0] if level == 1 else middle
