"""Decoders of class maps and mattes in a graph, as `heads.semantic` and `heads.matte`.

The arithmetic is that of `ops.masks`, in the same types and order, so the pixels are equal. ONNX's
own Resize is not used: it neither knows where a letterboxed photo lies, nor rounds in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import ConversionError, ShapeError
from ...heads.matte import MatteHead
from ...heads.semantic import MapLayout, SemanticHead
from .activations import sigmoid
from .outputs import Raw, Scene
from .values import Value

__all__ = ["decode_matte", "decode_semantic"]

_MOST_IDS = 255  # classes that fit uint8, beside no class


class _Axis(NamedTuple):
    """Where the pixels of a photo lie on a map, along one axis; as `ops.masks.Axis`."""

    low: Value
    high: Value
    weight: Value
    inside: Value


def decode_semantic(scene: Scene, head: SemanticHead) -> dict[str, Value]:
    """Return `class_map`, `(height, width)` of the photo: uint8, or uint16 for many classes."""
    output = _map(scene, head.output)
    if head.kind == "classes":
        return {"class_map": _nearest(scene, head, output)}
    if len(output.shape) != 4:
        msg = f"expected a map of scores with 4 dimensions, got the shape {output.shape}"
        raise ShapeError(msg)
    channels, height, width = _lengths(output, head.layout)
    if scene.classes and channels != scene.classes:
        msg = f"expected scores of {scene.classes} classes, got {channels}: {output.shape}"
        raise ShapeError(msg)
    scores = output.of_photo.cast(np.float32)
    scores = scores if head.layout == "channels_first" else scores.transpose(2, 0, 1)
    rows, columns = _axes(scene, head.size, (height, width), align_corners=head.align_corners)
    classes = _best_classes(scores, rows, columns, width)
    return {"class_map": _only_inside(classes, rows, columns, channels)}


def decode_matte(scene: Scene, head: MatteHead) -> dict[str, Value]:
    """Return `alpha`, `(height, width)` of the photo, uint8."""
    output = _map(scene, head.output)
    channels, height, width = _lengths(output, head.layout)
    if head.channel >= channels:
        msg = f"expected channel {head.channel} of a matte, got the shape {output.shape}"
        raise ShapeError(msg)
    if not np.issubdtype(output.value.dtype, np.floating):
        msg = f"expected a matte of floating-point numbers, got {output.value.dtype}"
        raise ShapeError(msg)
    values = output.of_photo
    if len(output.shape) == 4:
        axis = 0 if head.layout == "channels_first" else 2
        values = values.take(scene.g.constant(head.channel, np.int64), axis)
    if head.activation == "sigmoid":
        values = sigmoid(values)
    if head.normalize:
        values = _stretched(values)
    rows, columns = _axes(scene, head.size, (height, width), align_corners=head.align_corners)
    across = columns.weight
    top, bottom = (values.take(places) for places in (rows.low, rows.high))
    lines = top + (bottom - top) * rows.weight.reshape(-1, 1)
    left, right = (lines.take(places, 1) for places in (columns.low, columns.high))
    level = (left + (right - left) * across) * 255.0 + 0.5
    level = (level == level).where(level, 0.0).at_least(0.0).at_most(255.0)
    return {"alpha": _shown(rows, columns).where(level, 0.0).cast(np.uint8)}


def _stretched(values: Value) -> Value:
    """Return opacities stretched to 0..1; those of a constant map become 0."""
    known = values.is_finite()
    low = known.where(values, np.inf).reshape(-1).min(0).reshape(1, 1)
    high = known.where(values, -np.inf).reshape(-1).max(0).reshape(1, 1)
    return (low < high).where((values - low) / (high - low), 0.0)


def _map(scene: Scene, index: int) -> Raw:
    """Return the output of the network that has a map."""
    if index >= len(scene.outputs):
        msg = f"expected a map as output {index}, got {len(scene.outputs)} outputs"
        raise ShapeError(msg)
    output = scene.outputs[index]
    if len(output.shape) not in (3, 4):
        msg = f"expected a map, (n, channels, h, w) or (n, h, w), got the shape {output.shape}"
        raise ShapeError(msg)
    return output


def _lengths(output: Raw, layout: MapLayout) -> tuple[int, int, int]:
    """Return the channels, height and width of a map; those of a map without channels are 1."""
    shape = list(output.shape[1:])
    if len(shape) == 2:
        shape = [1, *shape]
    elif layout == "channels_last":
        shape = [shape[2], *shape[:2]]
    known = [length for length in shape if length is not None]
    if len(known) < 3:
        msg = (
            f"the size of the map must be known, got the shape {output.shape}: export the network "
            "with fixed shapes"
        )
        raise ConversionError(msg)
    channels, height, width = known
    return channels, height, width


def _axes(
    scene: Scene, size: tuple[int, int], shape: tuple[int, int], *, align_corners: bool
) -> tuple[_Axis, _Axis]:
    """Return where the rows and the columns of the photo lie on a map; see `photo_axes`."""
    placement = scene.placement
    rows, columns = (
        _axis(
            scene.g.range(placement.size.at(place).cast(np.int64), np.float64),
            (placement.scale.at(place), placement.pad.at(place)),
            extent,
            samples,
            align_corners=align_corners,
        )
        for place, extent, samples in zip((1, 0), size, shape, strict=True)
    )
    return rows, columns


def _axis(
    pixels: Value, placed: Sequence[Value], extent: int, samples: int, *, align_corners: bool
) -> _Axis:
    factor, pad = placed
    centers = (pixels + 0.5) * factor + pad
    if align_corners:
        places = (centers - 0.5) * ((samples - 1) / max(extent - 1, 1))
    else:
        places = centers * (samples / extent) - 0.5
    places = places.at_least(0.0).at_most(samples - 1.0)
    low = places.cast(np.int64)
    weight = (places - low.cast(np.float64)).cast(np.float32)
    inside = (centers > 0.0) & (centers < float(extent))
    return _Axis(low, (low + 1).at_most(samples - 1), weight, inside)


def _best_classes(scores: Value, rows: _Axis, columns: _Axis, width: int) -> Value:
    """Return the best class of each pixel of the photo; see `ops.masks.choose_classes`.

    Scores are interpolated only where the four samples around a pixel have different best classes.
    """
    best = _argmax(scores, 0).cast(np.int32)
    above, below = best.take(rows.low), best.take(rows.high)
    found = above.take(columns.low, 1)
    corners = above.take(columns.high, 1), below.take(columns.low, 1), below.take(columns.high, 1)
    first, second, third = (found == corner for corner in corners)
    mixed = (~(first & second & third)).nonzero()
    y, x = mixed.at(0), mixed.at(1)
    # The scores of a sample become one row, since whole rows are gathered.
    table = scores.transpose(1, 2, 0).reshape(-1, scores.size(0))
    top, bottom = rows.low.take(y) * width, rows.high.take(y) * width
    down, across = (
        axis.weight.take(places).reshape(-1, 1) for axis, places in ((rows, y), (columns, x))
    )
    sides = []
    for side in (columns.low.take(x), columns.high.take(x)):
        upper, lower = table.take(top + side), table.take(bottom + side)
        sides.append(upper + (lower - upper) * down)
    mixture = sides[0] + (sides[1] - sides[0]) * across
    places = y * found.size(1) + x
    chosen = found.reshape(-1).put(places, _argmax(mixture, 1).cast(np.int32))
    return chosen.reshape(found.size(0), found.size(1))


def _argmax(scores: Value, axis: int) -> Value:
    """Return the first best place; NaN is never the best."""
    return (scores == scores).where(scores, -np.inf).argmax(axis)


def _nearest(scene: Scene, head: SemanticHead, output: Raw) -> Value:
    """Return the class of the nearest sample; see `ops.masks.nearest_classes`."""
    channels, height, width = _lengths(output, _layout_of_ids(output))
    if channels != 1:
        msg = f"expected a map of class ids with one channel, got the shape {output.shape}"
        raise ShapeError(msg)
    ids = output.value.reshape(height, width).cast(np.int64)
    rows, columns = _axes(scene, head.size, (height, width), align_corners=head.align_corners)
    y, x = ((axis.weight < 0.5).where(axis.low, axis.high) for axis in (rows, columns))
    known = (ids < 0).where(ids * 0 + 65535, ids)
    return _only_inside(known.take(y).take(x, 1).cast(np.int32), rows, columns, scene.classes)


def _layout_of_ids(output: Raw) -> MapLayout:
    is_last = len(output.shape) == 4 and output.shape[1] != 1
    return "channels_last" if is_last else "channels_first"


def _shown(rows: _Axis, columns: _Axis) -> Value:
    """Return which pixels of the photo lie on the network's input, and not beyond a crop."""
    return rows.inside.reshape(-1, 1) & columns.inside.reshape(1, -1)


def _only_inside(classes: Value, rows: _Axis, columns: _Axis, count: int) -> Value:
    """Return int32 classes in the type that fits them; pixels beyond a crop have none."""
    dtype = np.dtype(np.uint8 if count <= _MOST_IDS else np.uint16)
    none = np.iinfo(dtype).max
    return _shown(rows, columns).where(classes, none).at_most(none).cast(dtype)
