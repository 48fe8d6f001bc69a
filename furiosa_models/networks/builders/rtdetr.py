"""RT-DETR, object detectors without NMS, and `fai_detr` of Focoos, which resembles it.

Lv et al., "DETRs beat YOLOs on real-time object detection" (2023). The networks of both families
have equal shapes, and names that differ by a rename, but compute something else: `family` selects
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..detr import (
    QueryNames,
    chosen_queries,
    conv_norm,
    encoded_map,
    encoder_outputs,
    fused,
    limited,
)
from ..graph import Graph, Kernel, Layer, Value
from ..layers import TorchLayers, image_shape
from ..options import choose
from ..resnet_d import resnet_d
from ..stdc import SIZES, stdc
from ..transformer import TransformerLayers
from ..weights import Kind, Parameter

__all__ = ["FAMILIES", "VARIANTS", "build"]

_STRIDES = (8, 16, 32)
_LEVELS = ("res3", "res4", "res5")
_POINTS = 4
"""Points of each map and head that cross-attention reads."""

# Depth of the backbone, width, width of the encoder's feed-forward layers, part of the channels in
# the blocks of the neck, and number of decoder layers.
VARIANTS: dict[str, tuple[int, int, int, float, int]] = {
    "r18": (18, 256, 1024, 0.5, 3),
    "r34": (34, 256, 1024, 0.5, 4),
    "r50m": (50, 256, 1024, 0.5, 3),
    "r50": (50, 256, 1024, 1.0, 6),
    "r101": (101, 384, 2048, 1.0, 6),
}
"""The public checkpoints of RT-DETR; `r50m` ends after the third of its six decoder layers."""

Family = Literal["rtdetr", "fai_detr"]


@dataclass(frozen=True)
class _Family:
    """What differs between the families.

    Attributes:
        backbone: Prefix of the names of the backbone.
        encoder: Prefix of the names of the encoder and the neck.
        decoder: Prefix of the names of the decoder and its heads.
        scores: Name of the layer of the encoder's class logits.
        boxes: Name of the layers of the encoder's boxes.
        decoder_scores: Name of the layers of the decoder's class logits.
        decoder_boxes: Name of the layers of the decoder's boxes.
        by_rows: Whether positions are counted in rows; on square maps there is no difference.
        linear: Whether the neck resizes bilinearly, rather than by nearest pixels and strides.
        coarse_first: Whether the decoder's maps begin with the coarsest.
        invalid: Logit of the coordinates of anchors that are not valid.
    """

    backbone: str
    encoder: str
    decoder: str
    scores: str
    boxes: str
    decoder_scores: str
    decoder_boxes: str
    by_rows: bool
    linear: bool
    coarse_first: bool
    invalid: float


FAMILIES: dict[str, _Family] = {
    "rtdetr": _Family(
        backbone="backbone",
        encoder="encoder",
        decoder="decoder",
        scores="enc_score_head",
        boxes="enc_bbox_head",
        decoder_scores="dec_score_head",
        decoder_boxes="dec_bbox_head",
        by_rows=False,
        linear=False,
        coarse_first=False,
        invalid=float("inf"),
    ),
    "fai_detr": _Family(
        backbone="pixel_decoder.backbone",
        encoder="pixel_decoder",
        decoder="head.predictor",
        scores="enc_score_classifier",
        boxes="enc_bbox_classifier",
        decoder_scores="dec_score_classifier",
        decoder_boxes="dec_bbox_classifier",
        by_rows=True,
        linear=True,
        coarse_first=True,
        invalid=0.0,
    ),
}
"""The families: RT-DETR, and that of Focoos."""


def build(
    *,
    variant: str | None = "r18",
    family: Family = "rtdetr",
    backbone: str | int = 50,
    hidden_dim: int = 256,
    feature_dim: int | None = None,
    encoder_layers: int = 1,
    encoder_width: int = 1024,
    expansion: float = 1.0,
    decoder_layers: int = 6,
    decoder_width: int = 1024,
    num_queries: int = 300,
    num_classes: int = 80,
    image_size: int | Sequence[int] = 640,
    batch_size: int | None = None,
    auxiliary: bool = False,
) -> Graph:
    """Describe the network up to its logits and boxes.

    The input `images` is float32 (N, 3, H, W), RGB; in [0, 1] for RT-DETR, normalized for
    `fai_detr`. The output `logits` is float32 (N, num_queries, num_classes), and `pred_boxes` is
    float32 (N, num_queries, 4): center, width and height as fractions of the image.

    Boxes of the encoder are computed for the selected queries only, rather than for all
    positions as in the original: the result is the same.

    Parameters have the names of the public state dicts of the family.

    Args:
        variant: A key of `VARIANTS`, which sets the arguments up to `decoder_layers`; or None.
        family: The network: a key of `FAMILIES`.
        backbone: Depth of a ResNet-D, or the size of an STDC.
        hidden_dim: Channels of the decoder.
        feature_dim: Channels of the encoder and the neck; by default as many.
        encoder_layers: Number of encoder layers, on the coarsest map.
        encoder_width: Width of their feed-forward layers.
        expansion: Part of the channels in the blocks of the neck.
        decoder_layers: Number of decoder layers that are used.
        decoder_width: Width of their feed-forward layers.
        num_queries: Number of queries, each of which is a candidate.
        num_classes: Number of classes, without a background.
        image_size: Height and width of the input, multiples of 32; one number for a square.
        batch_size: Fixed batch size, or None for a dynamic one.
        auxiliary: Whether to add the logits and boxes of the chosen queries, and then of each
            decoder layer but the last, for training; gradients stop where those of the authors do.

    Raises:
        ModelNotFound: There is no such variant, family or backbone.
        ShapeError: `image_size` is not a multiple of 32.
    """
    found = choose(FAMILIES, family, "family")
    if variant is not None:
        backbone, hidden_dim, encoder_width, expansion, decoder_layers = choose(
            VARIANTS, variant, "RT-DETR variant"
        )
    graph = Graph(f"{family}_{variant or backbone}", batch_size)
    image = graph.input("images", image_shape(image_size, _STRIDES[-1]))
    if isinstance(backbone, int):
        maps = resnet_d(graph, image, found.backbone, backbone)
    else:
        base, blocks = choose(SIZES, backbone, "size of STDC")
        maps = stdc(graph, image, found.backbone, base, blocks)
    neck = _Neck(graph, found, feature_dim or hidden_dim, expansion)
    levels = [maps[name] for name in _LEVELS]
    levels = neck.fused(neck.encoded(levels, encoder_layers, encoder_width))
    decoder = _Decoder(graph, found, hidden_dim, num_classes, decoder_width)
    decoder.add(levels, num_queries, decoder_layers, auxiliary=auxiliary)
    return graph


class _Neck:
    """The encoder of the coarsest map, and the neck that fuses all maps (CSP-Rep blocks)."""

    def __init__(self, graph: Graph, family: _Family, channels: int, expansion: float) -> None:
        self._graph = graph
        self._family = family
        self._layers = TorchLayers(graph, 1e-5)
        self._channels = channels
        self._hidden = int(channels * expansion)

    def encoded(self, maps: Sequence[Value], count: int, width: int) -> list[Value]:
        """Project the maps to the same channels, and encode the coarsest one."""
        scope = self._family.encoder
        found = [
            self._layers.conv(
                x, f"{scope}.input_proj.{i}.0", self._channels, norm=f"{scope}.input_proj.{i}.1"
            )
            for i, x in enumerate(maps)
        ]
        if count:
            found[-1] = encoded_map(
                self._graph,
                found[-1],
                f"{scope}.encoder.0",
                layers=count,
                width=width,
                by_rows=self._family.by_rows,
            )
        return found

    def fused(self, maps: Sequence[Value]) -> list[Value]:
        """Fuse the maps; return the finest first."""
        return fused(self._graph, maps, self._family.encoder, self)

    def lateral(self, x: Value, name: str) -> Value:
        """See `NeckParts`, as for the other parts."""
        return self._unit(x, name, self._channels)

    def widened(self, x: Value, fine: Value, name: str) -> Value:
        if self._family.linear:
            return self._graph.resize_linear(x, (fine.shape[1], fine.shape[2]), name)
        return self._graph.resize_nearest(x, 2, name)

    def shrunk(self, x: Value, coarse: Value, index: int) -> Value:
        scope = self._family.encoder
        down = f"{scope}.downsample_convs.{index}"
        if not self._family.linear:
            return self._unit(x, down, self._channels, 3, stride=2)
        size = (coarse.shape[1], coarse.shape[2])
        x = self._graph.resize_linear(x, size, f"{scope}.pan_blocks.{index}/down")
        return self._unit(x, down, self._channels, 3)

    def block(self, x: Value, name: str) -> Value:
        """Add a CSP block: half of the convolutions see three RepVGG blocks, half bypass them."""
        y = self._unit(x, f"{name}.conv1", self._hidden)
        for index in range(3):
            part = f"{name}.bottlenecks.{index}"
            y = self._layers.rep_vgg(y, part, self._hidden, "swish")
        other = self._unit(x, f"{name}.conv2", self._hidden)
        y = self._graph.add(y, other, f"{name}/add")
        if self._hidden == self._channels:
            return y
        return self._unit(y, f"{name}.conv3", self._channels)

    def _unit(self, x: Value, name: str, channels: int, size: int = 1, *, stride: int = 1) -> Value:
        """Add a convolution, normalization and swish."""
        return conv_norm(self._layers, x, name, channels, size, stride=stride, activation="swish")


class _Decoder:
    """The selection of queries, and the decoder that refines them."""

    def __init__(
        self, graph: Graph, family: _Family, channels: int, num_classes: int, width: int
    ) -> None:
        self._graph = graph
        self._family = family
        self._scope = family.decoder
        self._layers = TransformerLayers(graph)
        self._convs = TorchLayers(graph, 1e-5)
        self._channels = channels
        self._num_classes = num_classes
        self._width = width

    def add(
        self, levels: Sequence[Value], num_queries: int, count: int, *, auxiliary: bool
    ) -> None:
        """Add the decoder, and the outputs of the graph."""
        graph, family, scope = self._graph, self._family, self._scope
        ordered = list(reversed(levels)) if family.coarse_first else list(levels)
        maps = [
            conv_norm(self._convs, x, f"{scope}.input_proj.{i}", self._channels)
            for i, x in enumerate(ordered)
        ]
        names = QueryNames(
            scope, "enc_output.0", "enc_output.1", family.scores, family.boxes, "logits"
        )
        queries = chosen_queries(
            graph,
            maps,
            names,
            count=num_queries,
            num_classes=self._num_classes,
            coarse_first=family.coarse_first,
            invalid=family.invalid,
            auxiliary=auxiliary,
        )
        target, logits, _ = encoder_outputs(graph, queries, scope)
        before = logits
        for index in range(count):
            boxes = graph.activate(logits, "sigmoid", f"{scope}/boxes{index}")
            target = self._layer(target, boxes, maps, f"{scope}.decoder.layers.{index}")
            moved = self._boxes(target, f"{scope}.{family.decoder_boxes}.{index}")
            start = limited(graph, logits, f"{scope}/start{index}")
            logits = own = graph.add(moved, start, f"{scope}/logits{index}")
            if auxiliary and index:  # equal, but the loss trains the layer before, too
                start = limited(graph, before, f"{scope}/before{index}")
                own = graph.add(moved, start, f"{scope}/trained{index}")
            if index == count - 1:
                self._outputs(target, own, index)
            elif auxiliary:
                self._outputs(target, own, index, auxiliary=True)
                before, logits = logits, graph.stop_gradient(logits, f"{scope}/stopped{index}")

    def _outputs(self, target: Value, boxes: Value, index: int, *, auxiliary: bool = False) -> None:
        """Add the outputs of a decoder layer."""
        graph, scope, family = self._graph, self._scope, self._family
        part = str(index) if auxiliary else ""
        scores = self._layers.linear(
            target, f"{scope}.{family.decoder_scores}.{index}", self._num_classes
        )
        graph.output(scores, f"logits{part}", auxiliary=auxiliary)
        boxes = graph.activate(boxes, "sigmoid", f"{scope}/pred_boxes{part}")
        graph.output(boxes, f"pred_boxes{part}", auxiliary=auxiliary)

    def _boxes(self, x: Value, name: str) -> Value:
        return self._layers.mlp(x, name, (self._channels, self._channels, 4))

    def _layer(self, target: Value, boxes: Value, maps: Sequence[Value], name: str) -> Value:
        """Add a decoder layer: attention among the queries, then to the maps, then a perceptron."""
        graph, layers = self._graph, self._layers
        widths = (2 * self._channels, self._channels)
        head = f"{self._scope}.query_pos_head"  # which all layers share
        place = layers.mlp(boxes, head, widths, node=f"{name}/query_pos_head")
        placed = graph.add(target, place, f"{name}/placed")
        y = layers.attention(placed, placed, target, f"{name}.self_attn")
        target = layers.norm(graph.add(target, y, f"{name}/related"), f"{name}.norm1")
        placed = graph.add(target, place, f"{name}/placed_again")
        values = [self._value(x, f"{name}.cross_attn.value_proj", i) for i, x in enumerate(maps)]
        points = [_POINTS] * len(maps)
        y = layers.deformable_attention(placed, boxes, values, f"{name}.cross_attn", points=points)
        y = layers.linear(y, f"{name}.cross_attn.output_proj", self._channels)
        target = layers.norm(graph.add(target, y, f"{name}/attended"), f"{name}.norm2")
        y = layers.feed_forward(target, f"{name}.", self._width, "relu")
        return layers.norm(graph.add(target, y, f"{name}/fed"), f"{name}.norm3")

    def _value(self, x: Value, name: str, level: int) -> Value:
        """Add the projection of a map, as a convolution, which needs no transposition."""
        shape = (self._channels, x.shape[0])
        weight = Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=1.0)
        bias = Parameter(f"{name}.bias", shape[:1], Kind.BIAS)
        layer = Layer(Kernel(weight, split=(*shape, 1, 1)), bias)
        return self._graph.conv(x, layer, f"{name}/level{level}")
