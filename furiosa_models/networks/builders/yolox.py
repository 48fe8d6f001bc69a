"""YOLOX, object detectors without anchors: Ge et al., "YOLOX: Exceeding YOLO series" (2021)."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Kernel, Layer, Value
from ..layers import STEM_GAIN, YOLO_EPSILON, TorchLayers, YoloLayers, image_shape
from ..options import choose
from ..weights import Parameter

__all__ = ["VARIANTS", "build"]

# Factors of the number of bottlenecks and of the channels; whether 3x3 kernels are depthwise.
VARIANTS = {
    "nano": (0.33, 0.25, True),
    "tiny": (0.33, 0.375, False),
    "s": (0.33, 0.5, False),
    "m": (0.67, 0.75, False),
    "l": (1.0, 1.0, False),
    "x": (1.33, 1.25, False),
}
_STRIDE = 32
_RESIDUAL_GAIN = 0.1
"""Gain of the last kernel of a bottleneck of random weights: keeps sums of residuals bounded."""


def build(
    *,
    variant: str = "s",
    num_classes: int = 80,
    image_size: int | Sequence[int] = 640,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network, without decoding of boxes and NMS.

    The input `images` is float32 (N, 3, H, W), BGR in [0, 255]. The output `output` is float32
    (N, cells, 5 + num_classes) for the cells of the strides 8, 16 and 32: offset of the center in
    cells, logarithms of width and height in cells, then objectness and classes after the sigmoid.

    Parameters have the names of Megvii's state dict (`backbone.backbone.stem.conv.conv.weight`).

    Args:
        variant: Variant, a key of `VARIANTS`.
        num_classes: Number of classes, without a background.
        image_size: Height and width of the input, multiples of 32; one number for a square.
        batch_size: Fixed batch size, or None for a dynamic one.

    Raises:
        ModelNotFound: There is no such variant.
        ShapeError: `image_size` is not a multiple of 32.
    """
    depth, width, depthwise = choose(VARIANTS, variant, "YOLOX variant")
    graph = Graph(f"yolox_{variant}", batch_size)
    image = graph.input("images", image_shape(image_size, _STRIDE))
    network = _Network(graph, depth, width, depthwise)
    rows = [
        network.predicted(x, index, num_classes)
        for index, x in enumerate(network.fused(network.features(image)))
    ]
    joined = graph.concat(rows, "head/rows", axis=1)
    graph.output(graph.transpose(joined, (1, 0), "head/cells"), "output")
    return graph


class _Network:
    """The backbone, the neck and the heads, with scaled depths and widths."""

    def __init__(self, graph: Graph, depth: float, width: float, depthwise: bool) -> None:
        self._graph = graph
        self._layers = YoloLayers(graph)
        self._depth = depth
        self._width = width
        self._depthwise = depthwise
        self._predictors = TorchLayers(graph, YOLO_EPSILON)

    def features(self, image: Value) -> tuple[Value, Value, Value]:
        """Return the maps of the backbone with strides of 8, 16 and 32."""
        scope, blocks = "backbone.backbone", max(round(3 * self._depth), 1)
        x = self._stem(image, f"{scope}.stem.conv")
        maps = []
        for index, repeats in enumerate((blocks, 3 * blocks, 3 * blocks, blocks), start=2):
            name, is_last = f"{scope}.dark{index}", index == 5
            x = self._conv(x, f"{name}.0", self._channels(32 << index), stride=2)
            if is_last:
                y = self._layers.unit(x, f"{name}.1.conv1", x.shape[0] // 2)
                y = self._layers.pooled(y, f"{name}.1")
                x = self._layers.unit(y, f"{name}.1.conv2", x.shape[0])
            block = f"{name}.{2 if is_last else 1}"
            x = self._csp(x, block, x.shape[0], repeats, shortcut=not is_last)
            maps.append(x)
        return maps[1], maps[2], maps[3]

    def fused(self, maps: tuple[Value, Value, Value]) -> tuple[Value, Value, Value]:
        """Fuse the maps from coarse to fine, then from fine to coarse."""
        fine, middle, coarse = maps
        unit, repeats = self._layers.unit, round(3 * self._depth)
        scope, channels = "backbone", [x.shape[0] for x in maps]
        coarse = unit(coarse, f"{scope}.lateral_conv0", channels[1])
        wide = self._joined(self._wide(coarse, "p4"), middle, "p4")
        middle = self._csp(wide, f"{scope}.C3_p4", channels[1], repeats)
        middle = unit(middle, f"{scope}.reduce_conv1", channels[0])
        wide = self._joined(self._wide(middle, "p3"), fine, "p3")
        p3 = self._csp(wide, f"{scope}.C3_p3", channels[0], repeats)
        small = self._conv(p3, f"{scope}.bu_conv2", channels[0], stride=2)
        small = self._joined(small, middle, "n3")
        p4 = self._csp(small, f"{scope}.C3_n3", channels[1], repeats)
        small = self._conv(p4, f"{scope}.bu_conv1", channels[1], stride=2)
        small = self._joined(small, coarse, "n4")
        return p3, p4, self._csp(small, f"{scope}.C3_n4", channels[2], repeats)

    def predicted(self, x: Value, index: int, num_classes: int) -> Value:
        """Return the predictions (5 + num_classes, cells) for a map."""
        graph, channels = self._graph, self._channels(256)
        x = self._layers.unit(x, f"head.stems.{index}", channels)
        boxes = classes = x
        for layer in range(2):
            classes = self._conv(classes, f"head.cls_convs.{index}.{layer}", channels)
            boxes = self._conv(boxes, f"head.reg_convs.{index}.{layer}", channels)
        predict = self._layers.predictor
        scores = [
            predict(boxes, f"head.obj_preds.{index}", 1),
            predict(classes, f"head.cls_preds.{index}", num_classes),
        ]
        probabilities = [graph.activate(s, "sigmoid", f"{s.name}/sigmoid") for s in scores]
        parts = [predict(boxes, f"head.reg_preds.{index}", 4), *probabilities]
        joined = graph.concat(parts, f"head/{index}")
        cells = joined.shape[1] * joined.shape[2]
        return graph.reshape(joined, (joined.shape[0], cells), f"head/{index}/cells")

    def _channels(self, channels: int) -> int:
        return int(channels * self._width)

    def _stem(self, image: Value, name: str) -> Value:
        """Add the first layer (`Focus`): a 3x3 kernel on the four pixels of each 2x2 block.

        It is a 6x6 kernel with a stride of 2. The blocks' pixels are ordered by column, then row.
        """
        channels = self._channels(64)
        shape = (channels, 12, 3, 3)
        weight = Parameter(f"{name}.conv.weight", shape, fan_in=108, gain=STEM_GAIN)
        kernel = Kernel(
            weight,
            order=(0, 3, 4, 2, 5, 1),
            split=(channels, 2, 2, 3, 3, 3),
            joined=(channels, 3, 6, 6),
        )
        layer = Layer(kernel, norm=self._layers.norm(f"{name}.bn", channels))
        x = self._graph.conv(image, layer, f"{name}.conv", stride=2, padding=2)
        return self._graph.activate(x, "swish", f"{name}.conv/act")

    def _conv(
        self, x: Value, name: str, channels: int, *, stride: int = 1, gain: float | None = None
    ) -> Value:
        """Add a 3x3 convolution, which the smallest variant splits into two."""
        if not self._depthwise:
            return self._layers.unit(x, name, channels, 3, stride=stride, gain=gain)
        x = self._layers.unit(x, f"{name}.dconv", x.shape[0], 3, stride=stride, groups=x.shape[0])
        return self._layers.unit(x, f"{name}.pconv", channels, gain=gain)

    def _wide(self, x: Value, name: str) -> Value:
        return self._graph.resize_nearest(x, 2, f"backbone/{name}/up")

    def _joined(self, x: Value, y: Value, name: str) -> Value:
        return self._graph.concat([x, y], f"backbone/{name}/concat")

    def _csp(
        self, x: Value, name: str, channels: int, repeats: int, *, shortcut: bool = False
    ) -> Value:
        """Add a CSP layer: half of the channels pass through bottlenecks, half bypass them."""
        unit, half = self._layers.unit, channels // 2
        y = unit(x, f"{name}.conv1", half)
        for repeat in range(repeats):
            part = f"{name}.m.{repeat}"
            z = unit(y, f"{part}.conv1", half)
            z = self._conv(z, f"{part}.conv2", half, gain=_RESIDUAL_GAIN if shortcut else None)
            y = self._graph.add(y, z, f"{part}/add") if shortcut else z
        both = self._graph.concat([y, unit(x, f"{name}.conv2", half)], f"{name}/concat")
        return unit(both, f"{name}.conv3", channels)
