"""Bit-packed masks: one bit per pixel, eight times smaller than masks of bytes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from . import native
from .checks import check_array
from .masks import Axis

__all__ = ["Bits", "MaskedValues", "areas_of", "boxes_of", "pack", "resize_masks", "unpack"]

Bits: TypeAlias = npt.NDArray[np.uint8]
"""Masks (n, h, ceil(w / 8)) uint8, as from `numpy.packbits`: the first pixel is the highest bit."""

_COUNTS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


class MaskedValues(NamedTuple):
    """Masks of a photo, and the values in them.

    Attributes:
        bits: The masks; see `Bits`.
        areas: (n,) int64: number of pixels of each.
        means: (n,) float32: mean of the values of its pixels; 0 for an empty mask.
    """

    bits: Bits
    areas: npt.NDArray[np.int64]
    means: npt.NDArray[np.float32]


def pack(masks: npt.NDArray[np.bool_]) -> Bits:
    """Return masks (n, h, w) with one bit per pixel."""
    return np.packbits(masks, axis=-1)


def unpack(bits: Bits, width: int) -> npt.NDArray[np.bool_]:
    """Return bit-packed masks (..., h, bytes) as (..., h, width) bool."""
    if not bits.size or not width:  # numpy refuses to unpack nothing
        return np.zeros((*bits.shape[:-1], width), np.bool_)
    found: npt.NDArray[np.bool_] = np.unpackbits(bits, axis=-1, count=width).view(np.bool_)
    return found


def areas_of(bits: Bits) -> npt.NDArray[np.int64]:
    """Return the number of pixels of each mask, (n,) int64."""
    counts = [int(_COUNTS[mask].sum(dtype=np.int64)) for mask in bits]
    return np.array(counts, np.int64)


def boxes_of(bits: Bits, width: int) -> npt.NDArray[np.int64]:
    """Return the boxes of masks, (n, 4) int64: left, top, right, bottom, the last two exclusive.

    An empty mask has the box (0, 0, 0, 0).
    """
    boxes = np.zeros((len(bits), 4), np.int64)
    for box, mask in zip(boxes, bits, strict=True):
        rows = np.flatnonzero(mask.any(axis=1))
        if len(rows):
            line = np.bitwise_or.reduce(mask[rows[0] : rows[-1] + 1], axis=0)
            columns = np.flatnonzero(unpack(line, width))
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def resize_masks(
    values: npt.NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    threshold: float,
    *,
    platform: Platform = Platform.RUST,
) -> MaskedValues:
    """Return where maps reach a threshold at the photo's size.

    Values are interpolated as in `ops.masks.choose_classes`, and compared afterwards. NaN reaches
    no threshold. A pixel between four samples that are all below the threshold is not in the mask,
    whatever rounding does.

    Args:
        values: (n, h, w) float32.
        rows: Where the rows of the photo lie on the maps; see `ops.masks.photo_axes`.
        columns: Where its columns lie on the maps.
        threshold: Least value of a pixel of a mask.
        platform: RUST or PYTHON (numpy); both give the same masks.

    Returns:
        The masks; pixels beyond a crop are in none.

    Raises:
        ShapeError: The values have the wrong shape or dtype.
    """
    check_array("values", values, np.float32, ("n", "h", "w"))
    if not values[:1].size and len(values):
        msg = f"expected maps with at least one value, got the shape {values.shape}"
        raise ShapeError(msg)
    least = np.float32(threshold)
    windows = _windows(values, rows, columns, least)
    if not len(values):
        bits, sums = np.zeros((0, len(rows.low), -(-len(columns.low) // 8)), np.uint8), np.zeros(0)
    elif native.is_selected(platform):
        found = native.load().resize_masks
        bits, sums = found(values, *rows[:3], *columns[:3], windows, float(least))
    else:
        bits, sums = _masks_numpy(values, rows, columns, windows, least)
    areas = areas_of(bits)
    means = (sums / np.maximum(areas, 1)).astype(np.float32)
    return MaskedValues(bits, areas, means)


def _windows(
    values: npt.NDArray[np.float32], rows: Axis, columns: Axis, least: np.float32
) -> npt.NDArray[np.int32]:
    """Return where a mask may be: top, left, bottom and right in pixels of the photo, (n, 4)."""
    reached = values >= least
    sides: list[npt.NDArray[np.bool_]] = [np.any(reached, axis=2), np.any(reached, axis=1)]
    edges = []
    for axis, samples in zip((rows, columns), sides, strict=True):
        first = samples.argmax(axis=1)
        last = samples.shape[1] - 1 - samples[:, ::-1].argmax(axis=1)
        inside = np.flatnonzero(axis.inside)
        limits = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        # Pixels whose second sample is at the first that reaches it, up to those whose first
        # sample is at the last; both columns of an axis ascend.
        begin = np.searchsorted(axis.high, first, "left").clip(*limits)
        end = np.searchsorted(axis.low, last, "right").clip(*limits)
        is_empty = ~samples.any(axis=1) | (end < begin)
        edges.append((np.where(is_empty, 0, begin), np.where(is_empty, 0, end)))
    (top, bottom), (left, right) = edges
    return np.ascontiguousarray(np.stack((top, left, bottom, right), axis=1).astype(np.int32))


def _masks_numpy(
    values: npt.NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    windows: npt.NDArray[np.int32],
    least: np.float32,
) -> tuple[Bits, npt.NDArray[np.float64]]:
    shape = len(rows.low), len(columns.low)
    bits = np.zeros((len(values), shape[0], -(-shape[1] // 8)), np.uint8)
    sums = np.zeros(len(values), np.float64)
    mask = np.zeros(shape, np.bool_)
    for index, (map_, (top, left, bottom, right)) in enumerate(zip(values, windows, strict=True)):
        y, x = slice(top, bottom), slice(left, right)
        with np.errstate(all="ignore"):  # infinite and huge values
            above = map_[rows.low[y]]
            lines = above + (map_[rows.high[y]] - above) * rows.weight[y, None]
            first = lines[:, columns.low[x]]
            level = first + (lines[:, columns.high[x]] - first) * columns.weight[x]
            inside = level >= least
        mask[:] = False
        mask[y, x] = inside
        bits[index] = np.packbits(mask, axis=-1)
        sums[index] = level[inside].sum(dtype=np.float64)
    return bits, sums
