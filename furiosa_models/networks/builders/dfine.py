"""D-FINE, object detectors without NMS that refine distributions of the edges of boxes.

Peng et al., "D-FINE: Redefine regression task of DETRs as fine-grained distribution refinement"
(2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..detr import (
    QueryNames,
    chosen_queries,
    conv_norm,
    encoded_map,
    encoder_outputs,
    fused,
    limited,
)
from ..graph import Graph, Value
from ..hgnet_v2 import hgnet_v2
from ..layers import TorchLayers, image_shape
from ..options import choose
from ..transformer import TransformerLayers

__all__ = ["BINS", "SCALE", "VARIANTS", "bin_distances", "build"]

_STRIDE = 32
BINS = 33
"""Bins of the distribution of the distance of an edge."""
SCALE, _UPPER = 4.0, 0.5
"""Parameters of the distances of the bins, which the authors do not train: a distance of `SCALE` is
the width or height of a box."""
_BEST = 4
"""Probabilities of the most likely bins, from which the quality of a box is estimated."""
_QUALITY_WIDTH = 64
_POSITION_LIMIT = 10.0
_QUERIES = QueryNames(
    scope="decoder",
    projection="enc_output.proj",
    norm="enc_output.norm",
    scores="enc_score_head",
    boxes="enc_bbox_head",
    logits="start/boxes",
)


class _Variant(NamedTuple):
    """A variant.

    Attributes:
        backbone: Size of the HGNetV2.
        points: Points of each head of cross-attention, for each map that is used.
        channels: Channels of the neck and the decoder.
        width: Width of the perceptrons of encoder and decoder.
        expansion: Channels in the blocks of the neck, as a part of half of the channels.
        blocks: Number of RepVGG blocks in a row in the neck.
        layers: Number of decoder layers.
    """

    backbone: str
    points: tuple[int, ...]
    channels: int
    width: int
    expansion: float
    blocks: int
    layers: int


VARIANTS = {
    "n": _Variant("B0", (6, 6), 128, 512, 0.34, 2, 3),
    "s": _Variant("B0", (3, 6, 3), 256, 1024, 0.5, 1, 3),
    "m": _Variant("B2", (3, 6, 3), 256, 1024, 1.0, 2, 4),
}
"""The public checkpoints: nano, small and medium."""


def build(
    *,
    variant: str = "n",
    num_classes: int = 80,
    num_queries: int = 300,
    image_size: int | Sequence[int] = 640,
    batch_size: int | None = None,
    auxiliary: bool = False,
) -> Graph:
    """Describe the network up to its logits and boxes.

    The input `pixel_values` is float32 (N, 3, H, W), RGB in [0, 1]. The output `logits` is float32
    (N, num_queries, num_classes), and `pred_boxes` is float32 (N, num_queries, 4): center, width
    and height as fractions of the image.

    Parameters have the names of the authors' state dict (`decoder.pre_bbox_head.layers.0.weight`).

    Args:
        variant: Variant, a key of `VARIANTS`.
        num_classes: Number of classes, without a background.
        num_queries: Number of queries, each of which is a candidate.
        image_size: Height and width of the input, multiples of 32; one number for a square.
        batch_size: Fixed batch size, or None for a dynamic one.
        auxiliary: Whether to add outputs for training: logits and boxes of the chosen queries;
            those that the distributions start from; logits, boxes, and logits of the bins (N,
            num_queries, 4 * 33) of each decoder layer but the last; and the bins of the last one.
            Gradients stop where those of the authors do.

    Raises:
        ModelNotFound: There is no such variant.
        ShapeError: `image_size` is not a multiple of 32.
    """
    found = choose(VARIANTS, variant, "D-FINE variant")
    graph = Graph(f"dfine_{variant}", batch_size)
    image = graph.input("pixel_values", image_shape(image_size, _STRIDE))
    maps = hgnet_v2(graph, image, "backbone", found.backbone)[-len(found.points) :]
    neck = _Neck(graph, found)
    decoder = _Decoder(graph, found, num_classes)
    decoder.add(neck.fused(neck.encoded(maps)), num_queries, auxiliary=auxiliary)
    return graph


class _Neck:
    """The encoder of the coarsest map, and the neck that fuses all maps."""

    def __init__(self, graph: Graph, variant: _Variant) -> None:
        self._graph = graph
        self._layers = TorchLayers(graph, 1e-5)
        self._variant = variant
        self._inner = round(variant.expansion * variant.channels // 2)

    def encoded(self, maps: Sequence[Value]) -> list[Value]:
        """Project the maps to the same channels, and encode the coarsest one."""
        found = [
            conv_norm(self._layers, x, f"encoder.input_proj.{i}", self._variant.channels)
            for i, x in enumerate(maps)
        ]
        width = self._variant.width
        found[-1] = encoded_map(
            self._graph, found[-1], "encoder.encoder.0", layers=1, width=width, by_rows=False
        )
        return found

    def fused(self, maps: Sequence[Value]) -> list[Value]:
        """Fuse the maps; return the finest first."""
        return fused(self._graph, maps, "encoder", self)

    def lateral(self, x: Value, name: str) -> Value:
        """See `NeckParts`, as for the other parts."""
        return conv_norm(self._layers, x, name, self._variant.channels)

    def widened(self, x: Value, fine: Value, name: str) -> Value:
        del fine  # it is twice as large
        return self._graph.resize_nearest(x, 2, name)

    def shrunk(self, x: Value, coarse: Value, index: int) -> Value:
        del coarse  # it is half as large
        down, channels = f"encoder.downsample_convs.{index}.0", self._variant.channels
        x = conv_norm(self._layers, x, f"{down}.cv1", channels)
        return conv_norm(self._layers, x, f"{down}.cv2", channels, 3, stride=2, groups=channels)

    def block(self, x: Value, name: str) -> Value:
        """Add a block (RepNCSPELAN4): the result of each of its parts is concatenated."""
        graph, channels = self._graph, self._variant.channels
        x = self._unit(x, f"{name}.cv1", 2 * channels)
        parts = [x]
        x = graph.slice(x, 0, channels, 2 * channels, f"{name}/half")
        for part in ("cv2", "cv3"):
            x = self._csp(x, f"{name}.{part}.0")
            x = self._unit(x, f"{name}.{part}.1", self._inner, 3)
            parts.append(x)
        return self._unit(graph.concat(parts, f"{name}/parts"), f"{name}.cv4", channels)

    def _unit(self, x: Value, name: str, channels: int, size: int = 1) -> Value:
        """Add a convolution, normalization and swish."""
        return conv_norm(self._layers, x, name, channels, size, activation="swish")

    def _csp(self, x: Value, name: str) -> Value:
        """Add RepVGG blocks in a row, and a convolution that bypasses them."""
        y = self._unit(x, f"{name}.conv1", self._inner)
        for index in range(self._variant.blocks):
            part = f"{name}.bottlenecks.{index}"
            y = self._layers.rep_vgg(y, part, self._inner, "swish")
        return self._graph.add(y, self._unit(x, f"{name}.conv2", self._inner), f"{name}/add")


class _Decoder:
    """The selection of queries, and the decoder that refines the distributions of their edges."""

    def __init__(self, graph: Graph, variant: _Variant, num_classes: int) -> None:
        self._graph = graph
        self._layers = TransformerLayers(graph)
        self._variant = variant
        self._num_classes = num_classes

    def add(self, maps: Sequence[Value], num_queries: int, *, auxiliary: bool) -> None:
        """Add the decoder, and the outputs of the graph."""
        graph = self._graph
        queries = chosen_queries(
            graph,
            maps,
            _QUERIES,
            count=num_queries,
            num_classes=self._num_classes,
            auxiliary=auxiliary,
        )
        target, logits, _ = encoder_outputs(graph, queries, "decoder")
        boxes = graph.activate(logits, "sigmoid", "decoder/boxes")
        start, edges, before = boxes, None, None
        last = self._variant.layers - 1
        for index in range(self._variant.layers):
            target = self._layer(target, boxes, maps, f"decoder.decoder.layers.{index}")
            scores = None
            if index == 0:
                moved = self._perceptron(target, "decoder.pre_bbox_head", 4)
                begin = limited(graph, logits, "decoder/begin")
                start = graph.add(moved, begin, "decoder/start/logits")
                start = graph.activate(start, "sigmoid", "decoder/start")
                if auxiliary:
                    scores = self._scores(target, index)
                    graph.output(scores, "start_logits", auxiliary=True)
                    graph.output(start, "start_boxes", auxiliary=True)
                    start = graph.stop_gradient(start, "decoder/start/stopped")
            both = target
            if before is not None:
                both = graph.add(target, before, f"decoder/both{index}")
            more = self._perceptron(both, f"decoder.dec_bbox_head.{index}", 4 * BINS)
            edges = more if edges is None else graph.add(more, edges, f"decoder/edges{index}")
            shares = graph.reshape(edges, (num_queries, 4, BINS), f"decoder/bins{index}")
            shares = graph.softmax(shares, f"decoder/shares{index}")
            final = "decoder/pred_boxes" if index == last else f"decoder/boxes{index}"
            boxes = self._moved(start, shares, final)
            before = target
            if index == last or auxiliary:
                scores = scores or self._scores(target, index)
                name = "decoder/logits" if index == last else f"decoder/logits{index}"
                quality = self._quality(shares, f"decoder.decoder.lqe_layers.{index}.reg_conf")
                scores = graph.add(scores, quality, name)
                part, is_auxiliary = ("", False) if index == last else (str(index), True)
                graph.output(scores, f"logits{part}", auxiliary=is_auxiliary)
                graph.output(boxes, f"pred_boxes{part}", auxiliary=is_auxiliary)
            if auxiliary:
                graph.output(edges, f"bins{index}", auxiliary=True)
            if auxiliary and index != last:
                boxes = graph.stop_gradient(boxes, f"decoder/boxes{index}/stopped")
                before = graph.stop_gradient(target, f"decoder/before{index}")

    def _scores(self, target: Value, index: int) -> Value:
        """Return the logits of the classes of a decoder layer."""
        name = f"decoder.dec_score_head.{index}"
        return self._layers.linear(target, name, self._num_classes)

    def _perceptron(self, x: Value, name: str, features: int) -> Value:
        channels = self._variant.channels
        return self._layers.mlp(x, name, (channels, channels, features))

    def _layer(self, target: Value, boxes: Value, maps: Sequence[Value], name: str) -> Value:
        """Add a decoder layer: attention among the queries, then to the maps, then a perceptron."""
        graph, layers = self._graph, self._layers
        widths = (2 * self._variant.channels, self._variant.channels)
        head = "decoder.query_pos_head"  # which all layers share
        place = layers.mlp(boxes, head, widths, node=f"{name}/query_pos_head")
        place = graph.clip(place, -_POSITION_LIMIT, _POSITION_LIMIT, f"{name}/place")
        placed = graph.add(target, place, f"{name}/placed")
        y = layers.attention(placed, placed, target, f"{name}.self_attn")
        target = layers.norm(graph.add(target, y, f"{name}/related"), f"{name}.norm1")
        placed = graph.add(target, place, f"{name}/placed_again")
        y = layers.deformable_attention(
            placed, boxes, maps, f"{name}.cross_attn", points=self._variant.points
        )
        target = self._gated(target, y, f"{name}.gateway")
        y = layers.feed_forward(target, f"{name}.", self._variant.width, "relu")
        return layers.norm(graph.add(target, y, f"{name}/fed"), f"{name}.norm3")

    def _gated(self, x: Value, y: Value, name: str) -> Value:
        """Add two values, each multiplied by gates that are computed from both."""
        graph, channels = self._graph, x.shape[1]
        gates = graph.concat([x, y], f"{name}/both", axis=1)
        gates = self._layers.linear(gates, f"{name}.gate", 2 * channels)
        gates = graph.activate(gates, "sigmoid", f"{name}/gates")
        first, second = (
            graph.multiply(
                value,
                graph.slice(gates, 1, i * channels, (i + 1) * channels, f"{name}/gate{i}"),
                f"{name}/gated{i}",
            )
            for i, value in enumerate((x, y))
        )
        return self._layers.norm(graph.add(first, second, f"{name}/sum"), f"{name}.norm")

    def _moved(self, start: Value, shares: Value, name: str) -> Value:
        """Return boxes whose edges are moved by the mean of the distances of the bins."""
        graph = self._graph
        weighted = graph.scale(shares, bin_distances(), f"{name}/weighted")
        distances = graph.sum_last(weighted, f"{name}/distances")
        low = graph.slice(distances, 1, 0, 2, f"{name}/low")
        high = graph.slice(distances, 1, 2, 4, f"{name}/high")
        center = graph.slice(start, 1, 0, 2, f"{name}/start/center")
        size = graph.slice(start, 1, 2, 4, f"{name}/start/size")
        size = graph.scale(size, 1 / SCALE, f"{name}/unit")
        apart = graph.add(high, graph.scale(low, -1.0, f"{name}/negated"), f"{name}/apart")
        apart = graph.multiply(graph.scale(apart, 0.5, f"{name}/half"), size, f"{name}/by")
        together = graph.shift(graph.add(low, high, f"{name}/both"), SCALE, f"{name}/wide")
        return graph.concat(
            [
                graph.add(center, apart, f"{name}/center"),
                graph.multiply(together, size, f"{name}/size"),
            ],
            name,
            axis=1,
        )

    def _quality(self, shares: Value, name: str) -> Value:
        """Return what the certainty of its edges adds to the logits of a box."""
        graph, count = self._graph, shares.shape[0]
        best = graph.top_values(shares, _BEST, f"{name}/best")
        both = graph.concat([best, graph.mean_last(best, f"{name}/mean")], f"{name}/both", axis=2)
        both = graph.reshape(both, (count, 4 * (_BEST + 1)), f"{name}/flat")
        return self._layers.mlp(both, name, (_QUALITY_WIDTH, 1))


def bin_distances() -> npt.NDArray[np.float32]:
    """Return the distance of each bin, (33,) in quarters of a box: dense around 0."""
    half = (BINS - 1) // 2
    step = (_UPPER * SCALE + 1) ** (2 / (BINS - 3))
    outward = step ** np.arange(1, half) - 1
    end = 2 * _UPPER * SCALE
    return np.array([-end, *-outward[::-1], 0, *outward, end], np.float32)
