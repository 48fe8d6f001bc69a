"""Mask networks of Focoos: `fai_mf`, and the faster `bisenetformer`.

Both compute a class and a mask for each of a fixed number of queries, with the decoder of Cheng et
al., "Masked-attention mask transformer for universal image segmentation" (Mask2Former, 2022). They
differ in what is between the backbone and the decoder: `family` selects one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from ...errors import ShapeError
from ..detr import flattened
from ..graph import Activation, Graph, Kernel, Layer, Value
from ..layers import TorchLayers, image_shape
from ..options import choose
from ..resnet_d import DEPTHS, resnet_d
from ..stdc import SIZES, stdc
from ..transformer import TransformerLayers, interleaved_positions
from ..weights import Parameter

__all__ = ["FAMILIES", "build"]

_STRIDE = 32
_DEPTHS = {str(depth): depth for depth in DEPTHS}
_BLOCKED = 64.0
"""Addend of attention scores beside a mask. No weight remains in float32 if scores differ by less
than 48, and the scores keep as many int8 steps as possible: with 1e4, none would be left."""

Family = Literal["bisenetformer", "fai_mf"]
_SCOPE = "pixel_decoder"


class _Features(NamedTuple):
    """What the decoder reads.

    Attributes:
        levels: Maps that the queries attend to in turn, the coarsest first.
        masks: The map that the masks are made from.
    """

    levels: Sequence[Value]
    masks: Value


def build(
    *,
    family: Family = "fai_mf",
    backbone: str | int = "large",
    feature_dim: int = 128,
    hidden_dim: int = 256,
    encoder_layers: int = 0,
    encoder_width: int = 1024,
    decoder_layers: int = 6,
    decoder_width: int = 1024,
    num_queries: int = 100,
    num_classes: int = 80,
    image_size: int | Sequence[int] = 640,
    batch_size: int | None = None,
    auxiliary: bool = False,
) -> Graph:
    """Describe the network up to its logits.

    The input `images` is float32 (N, 3, H, W), normalized RGB. The output `masks` is float32
    (N, num_queries, h, w): logits of the pixels, at stride 4 for `fai_mf` and 8 for
    `bisenetformer`. The originals enlarge them to the input's size; here they remain as they are
    computed, since a head resizes them to the photo. The output `logits` is float32
    (N, num_queries, num_classes + 1); the last class is no object.

    Masks of attention are computed from features of their level's size, rather than resized from
    those of full size as in the original: both are linear, so the result is the same.

    Parameters have the names of Focoos' state dicts.

    Args:
        family: The network: a key of `FAMILIES`.
        backbone: Depth of a ResNet-D, or the size of an STDC.
        feature_dim: Channels of the maps that the decoder reads.
        hidden_dim: Channels of the decoder.
        encoder_layers: Number of encoder layers, on the coarsest map; for `fai_mf` only.
        encoder_width: Width of their feed-forward layers.
        decoder_layers: Number of decoder layers, at least 1.
        decoder_width: Width of their feed-forward layers.
        num_queries: Number of queries, each of which is a candidate.
        num_classes: Number of classes.
        image_size: Height and width of the input, multiples of 32; one number for a square.
        batch_size: Fixed batch size, or None for a dynamic one.
        auxiliary: Whether to add the masks and logits before each decoder layer, for training;
            those of the first one, whose queries are constants, may have a batch size of 1.

    Raises:
        ModelNotFound: There is no such family or backbone.
        ShapeError: `image_size` is not a multiple of 32, or there is no decoder layer.
    """
    if decoder_layers < 1:
        msg = f"expected at least one decoder layer, got decoder_layers={decoder_layers}"
        raise ShapeError(msg)
    neck = choose(FAMILIES, family, "family")
    graph = Graph(f"{family}_{backbone}", batch_size)
    image = graph.input("images", image_shape(image_size, _STRIDE))
    if isinstance(backbone, int):
        choose(_DEPTHS, str(backbone), "depth of ResNet-D")
        maps = resnet_d(graph, image, f"{_SCOPE}.backbone", backbone)
    else:
        base, blocks = choose(SIZES, backbone, "size of STDC")
        maps = stdc(graph, image, f"{_SCOPE}.backbone", base, blocks)
    features = neck(graph, maps, feature_dim, encoder_layers, encoder_width)
    decoder = _Decoder(graph, features, hidden_dim, num_classes)
    decoder.add(num_queries, decoder_layers, decoder_width, auxiliary=auxiliary)
    return graph


def _pyramid(
    graph: Graph, maps: Mapping[str, Value], channels: int, encoder_layers: int, width: int
) -> _Features:
    """Add the feature pyramid of `fai_mf`: each map is added to the coarser one, enlarged."""
    layers = TorchLayers(graph, 1e-5)

    def conv(x: Value, name: str, size: int, activation: Activation | None = None) -> Value:
        name = f"{_SCOPE}.{name}"
        return layers.conv(x, name, channels, size, norm=f"{name}.norm", activation=activation)

    x = maps["res5"]
    if encoder_layers:
        x = layers.conv(x, f"{_SCOPE}.input_proj", channels)
        x = _encoded(graph, x, f"{_SCOPE}.transformer.encoder", encoder_layers, width)
    levels = [conv(x, "layer_4", 3, "relu")]
    for index in (3, 2, 1):
        part = f"{_SCOPE}.level{index}"
        wide = graph.resize_nearest(levels[-1], 2, f"{part}/up")
        own = conv(maps[f"res{index + 1}"], f"adapter_{index}", 1)
        levels.append(conv(graph.add(own, wide, f"{part}/add"), f"layer_{index}", 3, "relu"))
    masks = layers.conv(levels[-1], f"{_SCOPE}.mask_features", channels, 3)
    return _Features(levels[:3], masks)


def _encoded(graph: Graph, x: Value, scope: str, count: int, width: int) -> Value:
    """Add encoder layers to a map (C, H, W), with normalization before each part."""
    own = TransformerLayers(graph)
    positions = interleaved_positions(x.shape[1], x.shape[2], x.shape[0])
    tokens = graph.transpose(flattened(graph, x, f"{scope}/flat"), (1, 0), f"{scope}/tokens")
    for index in range(count):
        name = f"{scope}.layers.{index}"
        y = own.norm(tokens, f"{name}.norm1")
        placed = graph.shift(y, positions, f"{name}/positions")
        y = own.attention(placed, placed, y, f"{name}.self_attn")
        tokens = graph.add(tokens, y, f"{name}/attended")
        y = own.feed_forward(own.norm(tokens, f"{name}.norm2"), f"{name}.", width, "relu")
        tokens = graph.add(tokens, y, f"{name}/fed")
    tokens = own.norm(tokens, f"{scope}.norm")
    return graph.reshape(graph.transpose(tokens, (1, 0), f"{scope}/t"), x.shape, f"{scope}/map")


def _context_path(
    graph: Graph, maps: Mapping[str, Value], channels: int, encoder_layers: int, width: int
) -> _Features:
    """Add the two paths of BiSeNet, and their fusion: Yu et al., 2018."""
    del encoder_layers, width  # it has no encoder
    layers = TorchLayers(graph, 1e-5)

    def unit(x: Value, name: str, size: int = 3) -> Value:
        conv, norm = f"{_SCOPE}.{name}.conv", f"{_SCOPE}.{name}.bn"
        return layers.conv(x, conv, channels, size, norm=norm, activation="relu")

    def refined(x: Value, name: str) -> Value:
        part = f"{_SCOPE}.{name}"
        y = unit(_bare(graph, x, f"{part}.proj", channels), f"{name}.conv")
        gate = graph.global_average_pool(y, f"{part}/pool")
        norm = f"{part}.bn_atten"
        gate = layers.conv(gate, f"{part}.conv_atten", channels, norm=norm, activation="sigmoid")
        return graph.multiply(y, gate, f"{part}/gated")

    def up(x: Value, to: Value, name: str) -> Value:
        wide = graph.resize_linear(x, (to.shape[1], to.shape[2]), f"{_SCOPE}.{name}/up")
        return unit(wide, name)

    middle, coarse = maps["res4"], maps["res5"]
    means = unit(graph.global_average_pool(coarse, f"{_SCOPE}.cp/means"), "cp.conv_avg", 1)
    coarse = graph.add(refined(coarse, "cp.arm32"), means, f"{_SCOPE}.cp/coarse")
    wide = up(coarse, middle, "cp.conv_head32")
    middle = graph.add(refined(middle, "cp.arm16"), wide, f"{_SCOPE}.cp/middle")
    fine = up(middle, maps["res3"], "cp.conv_head16")
    part = f"{_SCOPE}.ffm"
    detail = layers.conv(maps["res3"], f"{part}.proj1", channels)
    context = layers.conv(fine, f"{part}.proj2", channels)
    y = unit(graph.add(detail, context, f"{part}/add"), "ffm.convblk", 1)
    gate = graph.global_average_pool(y, f"{part}/pool")
    gate = _bare(graph, gate, f"{part}.conv1", channels // 4)
    gate = _bare(graph, graph.activate(gate, "relu", f"{part}/relu"), f"{part}.conv2", channels)
    gate = graph.activate(gate, "sigmoid", f"{part}/sigmoid")
    fused = graph.add(graph.multiply(y, gate, f"{part}/gated"), y, f"{part}/fused")
    return _Features((coarse, middle), unit(fused, "conv_out"))


FAMILIES: Mapping[str, Callable[[Graph, Mapping[str, Value], int, int, int], _Features]] = {
    "bisenetformer": _context_path,
    "fai_mf": _pyramid,
}
"""What each family has between the backbone and the decoder."""


def _bare(graph: Graph, x: Value, name: str, channels: int) -> Value:
    """Add a convolution of 1x1 without a bias."""
    weight = Parameter(f"{name}.weight", (channels, x.shape[0], 1, 1), fan_in=x.shape[0], gain=1.0)
    return graph.conv(x, Layer(Kernel(weight)), name)


class _Decoder:
    """The decoder: queries attend to the maps within their own masks, and to each other."""

    def __init__(self, graph: Graph, features: _Features, channels: int, num_classes: int) -> None:
        self._graph = graph
        self._features = features
        self._scope = "head.predictor"
        self._heads = f"{self._scope}.forward_prediction_heads"
        self._layers = TransformerLayers(graph)
        self._convs = TorchLayers(graph, 1e-5)
        self._channels = channels
        self._num_classes = num_classes

    def add(self, num_queries: int, count: int, width: int, *, auxiliary: bool) -> None:
        """Add the decoder, and the outputs of the graph."""
        graph, scope = self._graph, self._scope
        shape = (num_queries, self._channels)
        target, place = (
            graph.embedding(
                Parameter(f"{scope}.{name}.weight", shape, fan_in=1, gain=1.0), f"{scope}.{name}"
            )
            for name in ("query_feat", "query_embed")
        )
        used = self._features.levels[:count]
        levels = [self._level(x, index) for index, x in enumerate(used)]
        for index in range(count):
            keys, values, small = levels[index % len(levels)]
            part = f"{scope}/mask{index}"
            normed = self._layers.norm(target, f"{self._heads}.decoder_norm", node=f"{part}/norm")
            embedded = self._embedded(normed, part)
            penalty = self._penalty(embedded, small, part)
            if auxiliary:
                self._outputs(normed, f"{scope}/layer{index}", embedded, str(index))
            name = f"{scope}.transformer_cross_attention_layers.{index}"
            y = self._layers.norm(target, f"{name}.norm")
            placed = graph.add(y, place, f"{name}/placed")
            attention = f"{name}.multihead_attn"
            y = self._layers.attention(placed, keys, values, attention, penalty=penalty)
            # The first queries have no batch dimension, but what they attended to has.
            target = graph.add(y, target, f"{name}/attended")
            target = self._related(target, place, index)
            name = f"{scope}.transformer_ffn_layers.{index}"
            y = self._layers.norm(target, f"{name}.norm")
            y = self._layers.feed_forward(y, f"{name}.", width, "relu")
            target = graph.add(target, y, f"{name}/fed")
        part = f"{scope}/last"
        normed = self._layers.norm(target, f"{self._heads}.decoder_norm", node=f"{part}/norm")
        self._outputs(normed, part)

    def _level(self, x: Value, index: int) -> tuple[Value, Value, Value]:
        """Return the keys and values (S, C) of a map, and the features (C, S) of its masks."""
        graph, name = self._graph, f"{self._scope}.input_proj.{index}"
        rows, columns = x.shape[1:]
        y = self._convs.conv(x, name, self._channels)
        values = graph.transpose(flattened(graph, y, f"{name}/flat"), (1, 0), f"{name}/tokens")
        positions = interleaved_positions(rows, columns, self._channels)
        keys = graph.shift(values, positions, f"{name}/positions")
        small = graph.resize_linear(self._features.masks, (rows, columns), f"{name}/masks")
        return keys, values, flattened(graph, small, f"{name}/masks/flat")

    def _related(self, target: Value, place: Value, index: int) -> Value:
        """Add attention among the queries."""
        graph, name = self._graph, f"{self._scope}.transformer_self_attention_layers.{index}"
        y = self._layers.norm(target, f"{name}.norm")
        placed = graph.add(y, place, f"{name}/placed")
        y = self._layers.attention(placed, placed, y, f"{name}.self_attn")
        return graph.add(target, y, f"{name}/related")

    def _penalty(self, embedded: Value, features: Value, name: str) -> Value:
        """Return what keeps queries within their masks; one with an empty mask sees all pixels."""
        graph = self._graph
        logits = graph.matmul(embedded, features, f"{name}/logits")
        outside = graph.negatives(logits, f"{name}/outside")
        nothing = graph.max_last(outside, f"{name}/nothing")  # -1 if all are outside, else 0
        nothing = graph.reshape(nothing, (*nothing.shape, 1), f"{name}/nothing/column")
        back = graph.scale(nothing, -1.0, f"{name}/back")
        return graph.scale(graph.add(outside, back, f"{name}/blocked"), _BLOCKED, name)

    def _embedded(self, normed: Value, name: str) -> Value:
        """Return the factors of the masks' features, (Q, C)."""
        widths = (self._channels, self._channels, self._features.masks.shape[0])
        head, gain = f"{self._heads}.mask_classifier", 1 / widths[-1]  # for moderate logits
        return self._layers.mlp(normed, head, widths, gain=gain, node=f"{name}/mask_classifier")

    def _outputs(
        self, normed: Value, name: str, embedded: Value | None = None, layer: str = ""
    ) -> None:
        """Add the masks and logits of queries as outputs; auxiliary ones if `layer` is given."""
        graph, masks = self._graph, self._features.masks
        flat = flattened(graph, masks, f"{name}/features")
        factors = embedded or self._embedded(normed, name)
        found = graph.matmul(factors, flat, f"{name}/masks")
        found = graph.reshape(found, (normed.shape[0], *masks.shape[1:]), f"{name}/masks/map")
        graph.output(found, f"masks{layer}", auxiliary=bool(layer))
        classifier = f"{self._heads}.classifier"
        node = f"{name}/classifier" if layer else None
        logits = self._layers.linear(normed, classifier, self._num_classes + 1, node=node)
        graph.output(logits, f"logits{layer}", auxiliary=bool(layer))
