"""Resizing of 8-bit images in a graph, with the bits of `images.resize`.

Sizes are float64 scalars, since they depend on the photo. Each output sample is given by its
index, so that only the samples of the network's input are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...images.resize import AREA_SLIVER, LARGEST_BLOCK, LINEAR_ONE, PILLOW_BITS
from ...spec import Interpolation
from .builder import Builder
from .values import Value

__all__ = ["Axis", "resample"]


class Axis(NamedTuple):
    """One axis of a resize.

    Attributes:
        n: Source length, a float64 scalar.
        to: Target length, a float64 scalar.
        indices: Indices of the output samples to compute, float64 `(k,)`.
    """

    n: Value
    to: Value
    indices: Value

    @property
    def scale(self) -> Value:
        """Number of source samples per output sample."""
        return (self.to / self.n).inverse()


def resample(g: Builder, image: Value, y: Axis, x: Axis, interpolation: Interpolation) -> Value:
    """Add the nodes that resize an image.

    Args:
        g: The builder.
        image: `(h, w, 3)` uint8.
        y: The vertical axis.
        x: The horizontal axis.
        interpolation: The library and method to reproduce.

    Returns:
        `(rows, columns, 3)` uint8.
    """
    if interpolation == "opencv_linear":  # OpenCV's mean of 2 x 2 blocks gives the same bits
        return _linear(image, y, x, area=False)
    if interpolation == "opencv_area":
        return _area(g, image, y, x)
    kernel, support = (_triangle, 1.0) if interpolation == "pillow_bilinear" else (_cubic, 2.0)
    narrow = _pillow_rows(g, image.transpose(1, 0, 2), x, kernel, support)
    return _pillow_rows(g, narrow.transpose(1, 0, 2), y, kernel, support)


class _Pairs(NamedTuple):
    first: Value
    second: Value
    first_weight: Value
    second_weight: Value


def _linear_pairs(axis: Axis, *, area: bool, clamp: bool) -> _Pairs:
    """Return the two source samples of each output sample, with int32 weights."""
    i, scale, last = axis.indices, axis.scale, axis.n - 1.0
    if area:
        base = (i * scale).floor()
        share = ((i + 1.0) - (base + 1.0) * (axis.to / axis.n)).cast(np.float32)
        fraction = (share <= 0.0).where(share * 0.0, share - share.floor())
        base = base.cast(np.float32)
    else:
        center = ((i + 0.5) * scale - 0.5).cast(np.float32)
        base = center.floor()
        fraction = center - base
    if clamp:
        beside = (base < 0.0) | (base >= last.cast(np.float32))
        fraction = beside.where(fraction * 0.0, fraction)
    first, end = base.cast(np.int64), last.cast(np.int64)
    return _Pairs(
        first.at_least(0).at_most(end),
        (first + 1).at_least(0).at_most(end),
        ((1.0 - fraction) * LINEAR_ONE).rint().cast(np.int32),
        (fraction * LINEAR_ONE).rint().cast(np.int32),
    )


def _linear(image: Value, down: Axis, across: Axis, *, area: bool) -> Value:
    x = _linear_pairs(across, area=area, clamp=True)
    y = _linear_pairs(down, area=area, clamp=False)
    # Columns and channels are one axis here, which is several times faster than an inner axis of 3.
    left, right = (
        weight.reshape(-1, 1).expand(1, 3).reshape(-1)
        for weight in (x.first_weight, x.second_weight)
    )

    def half(rows: Value, weight: Value) -> Value:
        """Return one of the two rows of each output row, with its weight."""
        source = image.take(rows)
        first, second = (
            source.take(columns, 1).reshape(0, -1).cast(np.int32) for columns in (x.first, x.second)
        )
        mixed = (first * left + second * right) // 16
        return mixed * weight.reshape(-1, 1) // 65536

    upper, lower = half(y.first, y.first_weight), half(y.second, y.second_weight)
    return ((upper + lower + 2) // 4).cast(np.uint8).reshape(0, -1, 3)


def _area(g: Builder, image: Value, y: Axis, x: Axis) -> Value:
    """Return means of blocks or cells, or interpolate where the image grows, as OpenCV."""
    block_height, block_width = y.scale.rint(), x.scale.rint()
    distance = (y.scale - block_height).abs().at_least((x.scale - block_width).abs())
    area = block_height * block_width
    is_block = (distance < np.finfo(np.float64).eps) & (area > 0.0) & (area <= LARGEST_BLOCK)
    grows = y.scale.at_most(x.scale) < 1.0

    def others() -> Value:
        return g.choose(
            grows,
            lambda: _linear(image, y, x, area=True),
            lambda: _area_cells(g, image, y, x),
        )

    return g.choose(is_block, lambda: _area_blocks(g, image, y, x), others)


def _area_blocks(g: Builder, image: Value, y: Axis, x: Axis) -> Value:
    """Return block means. Halves round up in 2 x 2 blocks, and to even in all others."""
    sums, area = image, g.constant(1.0, np.float64)
    for axis in (x, y):
        size = axis.scale.rint()
        taps = g.range(size.cast(np.int64)).reshape(-1, 1)
        index = (axis.indices * size).cast(np.int64) + taps
        weight = (index * 0 + 1).cast(np.int32)
        sums = _weighted_sums(g, sums.transpose(1, 0, 2), index, weight)
        area = area * size
    is_double = (y.scale.rint() == 2.0) & (x.scale.rint() == 2.0)
    means = (sums.cast(np.float32) * area.inverse().cast(np.float32)).rint().cast(np.uint8)
    return is_double.where(((sums + 2) // 4).cast(np.uint8), means)


def _area_weights(g: Builder, axis: Axis) -> tuple[Value, Value]:
    """Return sample indices and float32 weights `(taps, k)`: the share of each sample."""
    n, scale = axis.n, axis.scale
    begin = axis.indices * scale
    end = begin + scale
    cell = (n - begin).at_most(scale)
    last = end.floor().at_most(n - 1.0)
    first = (-(-begin).floor()).at_most(last)
    head, tail = first - begin, end - last
    start = first - (head > AREA_SLIVER).cast(np.float64)
    taps = ((last - start).max(0).reshape() + 1.0).cast(np.int64)
    index = start + g.range(taps, np.float64).reshape(-1, 1)
    weight = ((index >= first) & (index < last)).where(cell.inverse(), 0.0)
    weight = (index < first).where(head / cell, weight)
    edge = tail.at_most(1.0).at_most(cell) / cell
    weight = ((index == last) & (tail > AREA_SLIVER)).where(edge, weight)
    return index.at_most(n - 1.0).cast(np.int64), weight.cast(np.float32)


def _area_cells(g: Builder, image: Value, y: Axis, x: Axis) -> Value:
    """Return cell means, accumulated in float32 in OpenCV's order: along x, then y."""
    rows = _weighted_sums(g, image.transpose(1, 0, 2), *_area_weights(g, x))
    sums = _weighted_sums(g, rows.transpose(1, 0, 2), *_area_weights(g, y))
    return sums.rint().at_least(0.0).at_most(255.0).cast(np.uint8)


def _triangle(x: Value) -> Value:
    return (1.0 - x.abs()).at_least(0.0)


def _cubic(x: Value) -> Value:
    a = -0.5
    x = x.abs()
    near = (x * (a + 2.0) - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return (x < 1.0).where(near, (x < 2.0).where(far, 0.0))


def _pillow_weights(
    g: Builder, axis: Axis, kernel: Callable[[Value], Value], support: float
) -> tuple[Value, Value]:
    """Return sample indices and fixed-point int32 weights `(taps, k)`."""
    n, scale = axis.n, axis.n / axis.to
    stretch = scale.at_least(1.0)
    center = (axis.indices + 0.5) * scale
    reach = stretch * support
    first = (center - reach + 0.5).cast(np.int64).at_least(0)
    end = (center + reach + 0.5).cast(np.int64).at_most(n.cast(np.int64))
    index = first + g.range((end - first).max(0).reshape()).reshape(-1, 1)
    position = index.cast(np.float64) - center + 0.5
    weight = (index < end).where(kernel(position * stretch.inverse()), 0.0)
    total = weight.cumsum(0).at(-1)
    weight = weight / (total == 0.0).where(total * 0.0 + 1.0, total)
    half = (weight < 0.0).where(weight * 0.0 - 0.5, 0.5)
    fixed = (weight * float(1 << PILLOW_BITS) + half).cast(np.int32)
    return index.at_most(n.cast(np.int64) - 1), fixed


def _pillow_rows(
    g: Builder, image: Value, axis: Axis, kernel: Callable[[Value], Value], support: float
) -> Value:
    """Resample the first axis of an image to 8 bits."""
    index, weight = _pillow_weights(g, axis, kernel, support)
    sums = _weighted_sums(g, image, index, weight) + (1 << (PILLOW_BITS - 1))
    return (sums.at_least(0) // (1 << PILLOW_BITS)).at_most(255).cast(np.uint8)


def _weighted_sums(g: Builder, image: Value, index: Value, weight: Value) -> Value:
    """Return weighted sums of the rows of an image, added one tap after the other.

    Args:
        g: The builder.
        image: `(n, m, 3)`.
        index: `(taps, k)` int64 rows.
        weight: `(taps, k)` of the type of the result.

    Returns:
        `(k, m, 3)`.
    """

    def add(tap: Value, goes: Value, sums: Value) -> tuple[Value, Value]:
        rows = image.take(index.take(tap)).cast(weight.dtype)
        return goes, sums + rows * weight.take(tap).reshape(-1, 1, 1)

    zero = g.constant(0, weight.dtype).reshape(1, 1, 1)
    start = zero.expand(index.size(1), image.size(1), 3)
    (sums,) = g.loop(add, start, count=index.size(0))
    return sums
