"""From a photo to the network's uint8 input, and from the input back to the photo.

The arithmetic is that of `ImageInput.layout` and `images.resize`, in the same types and order, so
the pixels are equal bit for bit. Every pixel of the input is computed from the photo, so no shape
after the first step depends on the size of the photo; those beside the photo are then replaced by
the padding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...spec import ImageInput
from .builder import Builder
from .resample import Axis, resample
from .values import Value

__all__ = ["Placement", "canvas"]


class Placement(NamedTuple):
    """Where a photo lies on the network's input, as `ImageContext` for one photo.

    Attributes:
        size: float32 `(2,)`: width and height of the photo.
        scale: float64 `(2,)`: length on the input over length in the photo, for x and y.
        pad: float64 `(2,)`: what to subtract from x and y on the input.
    """

    size: Value
    scale: Value
    pad: Value

    def to_photo(self, points: Value) -> Value:
        """Convert points `(..., 2)` from pixels of the input to pixels of the photo."""
        return (points - self.pad.cast(np.float32)) / self.scale.cast(np.float32)


class _Lengths(NamedTuple):
    """Float64 scalars of one axis: length of the photo, length after resizing, and offset."""

    photo: Value
    resized: Value
    offset: Value


def canvas(g: Builder, photo: Value, spec: ImageInput) -> tuple[Value, Placement]:
    """Add the nodes from a photo to the uint8 input of a network.

    Args:
        g: The builder.
        photo: `(height, width, 3)` uint8, RGB.
        spec: Input specification of the network.

    Returns:
        The input as `(1, 3, h, w)` uint8, and the placement of the photo on it.
    """
    height, width = (photo.size(axis).cast(np.float64) for axis in (0, 1))
    down, across, scale = _layout(g, height, width, spec)
    axes, visible = [], []
    for lengths, place in zip((down, across), spec.size, strict=True):
        index = g.constant(np.arange(place), np.float64) - lengths.offset
        visible.append((index >= 0.0) & (index < lengths.resized))
        inside = index.at_least(0.0).at_most(lengths.resized - 1.0)
        axes.append(Axis(lengths.photo, lengths.resized, inside))
    y, x = axes
    planes = resample(g, photo, y, x, spec.interpolation).transpose(2, 0, 1)
    if _has_margins(spec):
        shown = visible[0].reshape(-1, 1) & visible[1].reshape(1, -1)
        planes = shown.where(planes, spec.pad_value)
    if spec.color == "bgr":
        planes = planes.take([2, 1, 0])
    size = g.stack([width, height]).cast(np.float32).reshape(2)
    pad, factors = _to_photo(g, down, across, scale, spec)
    return planes.reshape(1, 3, *spec.size), Placement(size, factors, pad)


def _has_margins(spec: ImageInput) -> bool:
    """Return whether a part of the input may lie beside the photo."""
    small_crop = spec.resize == "crop" and (spec.resize_to or 0) < max(spec.size)
    return spec.resize == "letterbox" or small_crop


def _layout(
    g: Builder, height: Value, width: Value, spec: ImageInput
) -> tuple[_Lengths, _Lengths, Value]:
    """Return the lengths along y and x, and the scale; see `ImageInput.layout`."""
    zero, one = (g.constant(number, np.float64) for number in (0, 1))
    if spec.resize == "letterbox":
        scale = (spec.size[0] / height).at_most(spec.size[1] / width)
        down, across = (
            _letterboxed(length, place, scale, spec)
            for length, place in zip((height, width), spec.size, strict=True)
        )
        return down, across, scale
    if spec.resize == "crop":
        short = g.constant(spec.resize_to, np.float64)
        shorter, longer = height.at_most(width), height.at_least(width)
        long = (short * longer / shorter).floor()
        is_upright = height > width
        lengths = is_upright.where(long, short), is_upright.where(short, long)
        down, across = (
            _Lengths(photo, length, -_center(length - place, spec))
            for photo, length, place in zip((height, width), lengths, spec.size, strict=True)
        )
        return down, across, short / shorter
    down, across = (
        _Lengths(photo, g.constant(place, np.float64), zero)
        for photo, place in zip((height, width), spec.size, strict=True)
    )
    return down, across, one


def _letterboxed(length: Value, place: int, scale: Value, spec: ImageInput) -> _Lengths:
    resized = (length * scale).rint().at_least(1.0)
    if spec.pad_at == "end":
        return _Lengths(length, resized, resized * 0.0)
    return _Lengths(length, resized, ((place - resized) / 2.0 - 0.1).rint())


def _center(margin: Value, spec: ImageInput) -> Value:
    """Return the part of a margin that is before the center; negative means padding."""
    half = margin / 2.0
    before = half.rint() if spec.crop_rounding == "even" else half.floor()
    return (margin < 0.0).where(-(-half).floor(), before)


def _to_photo(
    g: Builder, down: _Lengths, across: _Lengths, scale: Value, spec: ImageInput
) -> tuple[Value, Value]:
    """Return `pad` and `scale` of the placement, float64 `(2,)`, for x and y."""
    if spec.resize == "stretch":
        pad = g.constant([0.0, 0.0], np.float64)
        factors = [axis.resized / axis.photo for axis in (across, down)]
        return pad, g.stack(factors).reshape(2)
    offsets = [across.offset, down.offset]
    if spec.resize == "letterbox" and spec.pad_at == "both":  # the exact margin, with halves
        offsets = [
            (place - axis.resized) / 2.0
            for axis, place in zip((across, down), spec.size[::-1], strict=True)
        ]
    return g.stack(offsets).reshape(2), scale.reshape(1).expand(2)
