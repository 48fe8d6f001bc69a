"""Resize 8-bit images; results equal those of OpenCV and Pillow bit for bit.

Based on OpenCV `modules/imgproc/src/resize.cpp` (INTER_LINEAR and INTER_AREA for 8 bits) and Pillow
`src/libImaging/Resample.c`. The numpy functions here are the reference for `native/src/`.

One deviation: Pillow 13 resamples vertically first if the height shrinks by more than twice as many
pixels as the width. This module always resamples horizontally first, as Pillow did before, because
the published accuracies were measured that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.ops import native
from furiosa_models.ops.checks import check_choice, check_image
from furiosa_models.spec import Interpolation

__all__ = [
    "AREA_SLIVER",
    "LARGEST_BLOCK",
    "LINEAR_ONE",
    "PILLOW_BITS",
    "resize",
    "resize_numpy",
]

Pixels: TypeAlias = npt.NDArray[np.uint8]
_Indices: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float64]
_Filter: TypeAlias = Callable[[_Floats], _Floats]

LINEAR_ONE = np.float32(2048)
"""Fixed-point unit of OpenCV's bilinear weights."""

AREA_SLIVER = 1e-3
"""Largest share of a cell with which OpenCV ignores an edge pixel."""

LARGEST_BLOCK = (2**32 - 1) // 255
"""Number of pixels whose sum fits 32 bits; OpenCV overflows at half of it."""

PILLOW_BITS = 22
"""Fraction bits of Pillow's weights."""


def resize(
    image: Pixels,
    size: tuple[int, int],
    interpolation: Interpolation,
    *,
    platform: Platform = Platform.RUST,
) -> Pixels:
    """Return an image resized to `size`.

    Args:
        image: uint8, `(h, w)`, `(h, w, 1)` or `(h, w, 3)`.
        size: Target height and width.
        interpolation: The library and method to reproduce.
        platform: RUST, or PYTHON for the numpy reference. Both give the same bits.

    Raises:
        ShapeError: `image` has the wrong shape or dtype.
        ValueError: A size is below 1, or the interpolation is unknown.
    """
    check_image(image, channels=(1, 3))
    check_choice("interpolation", interpolation, get_args(Interpolation))
    height, width = size
    if height < 1 or width < 1:
        msg = f"size must be at least 1 x 1, got {height} x {width}"
        raise ValueError(msg)
    pixels = image[:, :, None] if image.ndim == 2 else image
    if native.is_selected(platform):
        out = np.empty((height, width, pixels.shape[2]), np.uint8)
        native.load().resize(pixels, out, interpolation)
    else:
        out = resize_numpy(pixels, height, width, interpolation)
    resized: Pixels = out[:, :, 0] if image.ndim == 2 else out
    return resized


def resize_numpy(
    image: Pixels,
    height: int,
    width: int,
    interpolation: Interpolation,
    *,
    rows: slice | None = None,
    columns: slice | None = None,
) -> Pixels:
    """Return an image `(h, w, c)` resized with numpy only.

    Args:
        image: The image.
        height: Height of the full result.
        width: Width of the full result.
        interpolation: The library and method to reproduce.
        rows: Rows of the result to compute; all by default.
        columns: Columns of the result to compute; all by default.
    """
    down, across = rows or slice(0, height), columns or slice(0, width)
    if image.shape[:2] == (height, width):
        same: Pixels = image[down, across].copy()
        return same
    y = _Axis(image.shape[0], height, range(height)[down])
    x = _Axis(image.shape[1], width, range(width)[across])
    if interpolation == "pillow_bilinear":
        return _pillow(image, y, x, _triangle, 1.0)
    if interpolation == "pillow_bicubic":
        return _pillow(image, y, x, _cubic, 2.0)
    block_height, block_width = round(y.scale), round(x.scale)
    is_integer_scale = (
        max(abs(y.scale - block_height), abs(x.scale - block_width)) < np.finfo(np.float64).eps
    )
    if interpolation == "opencv_linear":
        if is_integer_scale and (block_height, block_width) == (2, 2):
            return _area_blocks(image, y, x)
        return _linear(image, y, x, area=False)
    if is_integer_scale and 0 < block_height * block_width <= LARGEST_BLOCK:
        return _area_blocks(image, y, x)
    if min(y.scale, x.scale) < 1.0:
        return _linear(image, y, x, area=True)
    return _area_cells(image, y, x)


class _Axis(NamedTuple):
    """One axis of a resize: source length, target length, and the window to compute."""

    n: int
    to: int
    window: range

    @property
    def scale(self) -> float:
        """Number of source samples per output sample."""
        return 1.0 / (self.to / self.n)

    @property
    def indices(self) -> _Floats:
        """Indices of the output samples in the window."""
        return np.arange(self.window.start, self.window.stop, dtype=np.float64)


class _Pairs(NamedTuple):
    first: _Indices
    second: _Indices
    first_weight: npt.NDArray[np.int32]
    second_weight: npt.NDArray[np.int32]


def _linear_pairs(axis: _Axis, *, area: bool, clamp: bool) -> _Pairs:
    """Return the two source samples of each output sample, with weights in units of 1/2048.

    `clamp` moves a pair at the border onto one sample; OpenCV does this along x but not along y.
    """
    n, i = axis.n, axis.indices
    inverse = axis.to / n
    scale = 1.0 / inverse
    if area:
        base = np.floor(i * scale)
        fraction = ((i + 1) - (base + 1) * inverse).astype(np.float32)
        fraction = np.where(fraction <= 0, np.float32(0), fraction - np.floor(fraction))
    else:
        center = ((i + 0.5) * scale - 0.5).astype(np.float32)
        base = np.floor(center)
        fraction = center - base
    if clamp:
        fraction = np.where((base < 0) | (base >= n - 1), np.float32(0), fraction)
    first = base.astype(np.int64)
    return _Pairs(
        np.clip(first, 0, n - 1),
        np.clip(first + 1, 0, n - 1),
        np.rint((1 - fraction) * LINEAR_ONE).astype(np.int32),
        np.rint(fraction * LINEAR_ONE).astype(np.int32),
    )


def _linear(image: Pixels, down: _Axis, across: _Axis, *, area: bool) -> Pixels:
    x = _linear_pairs(across, area=area, clamp=True)
    y = _linear_pairs(down, area=area, clamp=False)
    rows = (
        image[:, x.first] * x.first_weight[:, None] + image[:, x.second] * x.second_weight[:, None]
    )
    rows >>= 4  # keep 7 of 11 fraction bits; the vertical pass truncates products to 2
    upper = (rows[y.first] * y.first_weight[:, None, None]) >> 16
    lower = (rows[y.second] * y.second_weight[:, None, None]) >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def _area_blocks(image: Pixels, y: _Axis, x: _Axis) -> Pixels:
    """Return block means. Halves round up in 2 x 2 blocks, and to even in all others."""
    block_height, block_width = round(y.scale), round(x.scale)
    rows = slice(y.window.start * block_height, y.window.stop * block_height)
    columns = slice(x.window.start * block_width, x.window.stop * block_width)
    size = len(y.window), block_height, len(x.window), block_width, image.shape[2]
    blocks = image[rows, columns].reshape(size)
    sums: npt.NDArray[np.uint32] = blocks.sum(axis=(1, 3), dtype=np.uint32)
    if (block_height, block_width) == (2, 2):
        means: Pixels = ((sums + 2) >> 2).astype(np.uint8)
    else:
        scale = np.float32(1.0 / (block_height * block_width))
        means = np.rint(sums.astype(np.float32) * scale).astype(np.uint8)
    return means


def _area_weights(axis: _Axis) -> tuple[_Indices, npt.NDArray[np.float32]]:
    """Return sample indices and weights `(k, n)`: the share of each sample in a cell."""
    n, scale = axis.n, axis.scale
    begin = axis.indices * scale
    end = begin + scale
    cell = np.minimum(scale, n - begin)
    last = np.minimum(np.floor(end).astype(np.int64), n - 1)
    first = np.minimum(np.ceil(begin).astype(np.int64), last)
    head, tail = first - begin, end - last
    start = first - (head > AREA_SLIVER)
    index = start + np.arange((last - start).max() + 1)[:, None]
    weight = np.where((index >= first) & (index < last), 1.0 / cell, 0.0)
    weight = np.where(index < first, head / cell, weight)
    edge = np.minimum(np.minimum(tail, 1.0), cell) / cell
    weight = np.where((index == last) & (tail > AREA_SLIVER), edge, weight)
    return np.minimum(index, n - 1), weight.astype(np.float32)


def _area_cells(image: Pixels, y: _Axis, x: _Axis) -> Pixels:
    """Return cell means, accumulated in float32 in OpenCV's order: along x, then y."""
    rows = np.zeros((image.shape[0], len(x.window), image.shape[2]), np.float32)
    for index, weight in zip(*_area_weights(x), strict=True):
        rows += image[:, index] * weight[:, None]
    sums = np.zeros((len(y.window), len(x.window), image.shape[2]), np.float32)
    for index, weight in zip(*_area_weights(y), strict=True):
        sums += rows[index] * weight[:, None, None]
    return np.clip(np.rint(sums), 0, 255).astype(np.uint8)


def _triangle(x: _Floats) -> _Floats:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: _Floats) -> _Floats:
    a = -0.5
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _pillow_weights(
    axis: _Axis, kernel: _Filter, support: float
) -> tuple[_Indices, npt.NDArray[np.int32]]:
    """Return sample indices and 22-bit weights `(k, n)`; shrinking stretches the kernel."""
    n, scale = axis.n, axis.n / axis.to
    stretch = max(scale, 1.0)
    center = (axis.indices + 0.5) * scale
    first = np.maximum((center - support * stretch + 0.5).astype(np.int64), 0)
    end = np.minimum((center + support * stretch + 0.5).astype(np.int64), n)
    index = first + np.arange((end - first).max())[:, None]
    weight = np.where(index < end, kernel((index - center + 0.5) * (1.0 / stretch)), 0.0)
    total = np.add.accumulate(weight)[-1]  # sequential: np.sum would round differently
    weight /= np.where(total == 0.0, 1.0, total)
    fixed = np.trunc(weight * (1 << PILLOW_BITS) + np.where(weight < 0, -0.5, 0.5))
    return np.minimum(index, n - 1), fixed.astype(np.int32)


def _pillow(image: Pixels, y: _Axis, x: _Axis, kernel: _Filter, support: float) -> Pixels:
    """Resample along x to 8 bits, then along y."""
    narrow = _pillow_rows(image.transpose(1, 0, 2), x, kernel, support)
    return _pillow_rows(narrow.transpose(1, 0, 2), y, kernel, support)


def _pillow_rows(image: Pixels, axis: _Axis, kernel: _Filter, support: float) -> Pixels:
    sums = np.full((len(axis.window), *image.shape[1:]), 1 << (PILLOW_BITS - 1), np.int32)
    for index, weight in zip(*_pillow_weights(axis, kernel, support), strict=True):
        sums += image[index] * weight[:, None, None]
    clipped: Pixels = np.clip(sums >> PILLOW_BITS, 0, 255).astype(np.uint8)
    return clipped
