"""Masks: maps of a network resized to the photo, and outlines of masks.

A map is resized bilinearly, and classes are chosen afterwards, at the photo's size: the edges of
regions are then as smooth as the scores. The scores of all classes at the photo's size, hundreds of
megabytes, are never in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..spec import ImageContext
from . import native
from .checks import check_array

__all__ = [
    "Axis",
    "ClassMap",
    "box_of_mask",
    "choose_classes",
    "nearest_classes",
    "no_class",
    "outlines",
    "photo_axes",
    "resize_alpha",
]

ClassMap = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(h, w) class ids: uint8, or uint16 for more than 255 classes."""

_MOST_IDS = 255
_MOST_CLASSES = 1 << 15
_CHUNK = 1 << 16  # pixels whose scores numpy interpolates at once


class Axis(NamedTuple):
    """Where the pixels of a photo lie on a map, along one axis.

    Attributes:
        low: (n,) int32: index of the map's sample before each pixel of the photo.
        high: (n,) int32: index of the sample behind it.
        weight: (n,) float32 in 0..1: weight of the sample behind it.
        inside: (n,) bool: whether the pixel lies on the network's input, and not beyond a crop.
    """

    low: npt.NDArray[np.int32]
    high: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]


def photo_axes(
    context: ImageContext,
    size: tuple[int, int],
    shape: tuple[int, int],
    *,
    align_corners: bool = False,
) -> tuple[Axis, Axis]:
    """Return where the rows and the columns of a photo lie on a map.

    Args:
        context: Context of the photo, from `preprocess`.
        size: Height and width of the network's input.
        shape: Height and width of the map.
        align_corners: Whether the corner samples of the map are at the centers of the input's
            corner pixels, rather than the edges of the map at those of the input.

    Raises:
        ShapeError: The map or the photo is empty.
    """
    if min(*size, *shape, context.height, context.width) < 1:
        msg = (
            f"expected a photo and a map with at least one pixel, got {context.width} x "
            f"{context.height} and a map of {shape} for an input of {size}"
        )
        raise ShapeError(msg)
    factors = (context.scale, context.scale) if context.stretch is None else context.stretch[::-1]
    pads = (0.0, 0.0) if context.stretch is not None else context.pad[::-1]
    lengths = (context.height, context.width)
    rows, columns = (
        _axis(*parts, align_corners=align_corners)
        for parts in zip(lengths, factors, pads, size, shape, strict=True)
    )
    return rows, columns


def _axis(
    length: int, factor: float, pad: float, extent: int, samples: int, *, align_corners: bool
) -> Axis:
    """Return where `length` pixels lie among `samples` of an input with `extent` pixels."""
    centers = (np.arange(length) + 0.5) * factor + pad
    if align_corners:
        places = (centers - 0.5) * ((samples - 1) / max(extent - 1, 1))
    else:
        places = centers * (samples / extent) - 0.5
    places = places.clip(0, samples - 1)
    low = places.astype(np.int32)
    high = np.minimum(low + 1, samples - 1).astype(np.int32)
    inside = (centers > 0) & (centers < extent)
    return Axis(low, high, (places - low).astype(np.float32), inside)


def no_class(classes: ClassMap) -> int:
    """Return the class id of pixels without a class: the largest of the type, 255 or 65535."""
    return int(np.iinfo(classes.dtype).max)


def choose_classes(
    scores: npt.NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    *,
    platform: Platform = Platform.RUST,
) -> ClassMap:
    """Return the class with the best score at each pixel of a photo.

    Scores are interpolated bilinearly in float32, first along the column and then along the row. If
    one class is the best of all four samples around a pixel, it is the best there. Of equal scores,
    the first class is chosen; NaN is never the best.

    Args:
        scores: (classes, h, w) float32: logits or probabilities.
        rows: Where the rows of the photo lie on the map; see `photo_axes`.
        columns: Where its columns lie on the map.
        platform: RUST or PYTHON (numpy); both give the same classes.

    Returns:
        Class ids, (rows, columns); pixels beyond a crop have none, see `no_class`.

    Raises:
        ShapeError: The scores have the wrong shape or dtype, or too many classes.
    """
    check_array("scores", scores, np.float32, ("classes", "h", "w"))
    if not 1 <= len(scores) <= _MOST_CLASSES or not scores.size:
        msg = f"expected scores of 1 to {_MOST_CLASSES} classes, got the shape {scores.shape}"
        raise ShapeError(msg)
    if native.is_selected(platform):
        found: ClassMap = native.load().choose_classes(scores, *rows[:3], *columns[:3])
    else:
        found = _choose_numpy(scores, rows, columns)
    return _only_inside(found, rows, columns)


def _choose_numpy(scores: npt.NDArray[np.float32], rows: Axis, columns: Axis) -> ClassMap:
    dtype = np.uint8 if len(scores) <= _MOST_IDS else np.uint16
    best = _best(scores).astype(dtype)
    above, below = best[rows.low], best[rows.high]
    found: ClassMap = np.ascontiguousarray(above[:, columns.low])
    is_mixed = found != above[:, columns.high]
    for corner in (below[:, columns.low], below[:, columns.high]):
        is_mixed |= found != corner
    mixed = np.flatnonzero(is_mixed)
    flat = found.reshape(-1)
    for first in range(0, len(mixed), _CHUNK):
        part = mixed[first : first + _CHUNK]
        y, x = np.divmod(part, len(columns.low))
        flat[part] = _best(_interpolated(scores, rows, columns, y, x))
    return found


def _best(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Return the index of the first best score along the first axis."""
    if np.isnan(scores).any():
        scores = np.where(np.isnan(scores), np.float32(-np.inf), scores)
    best: npt.NDArray[np.intp] = scores.argmax(0)
    return best


def _interpolated(
    values: npt.NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    y: npt.NDArray[np.intp],
    x: npt.NDArray[np.intp],
) -> npt.NDArray[np.float32]:
    """Return values (..., h, w) at pixels of the photo, (..., k)."""
    top, bottom, left, right = rows.low[y], rows.high[y], columns.low[x], columns.high[x]
    down, across = rows.weight[y], columns.weight[x]
    with np.errstate(all="ignore"):  # infinite and huge values
        first = values[..., top, left]
        first = first + (values[..., bottom, left] - first) * down
        second = values[..., top, right]
        second = second + (values[..., bottom, right] - second) * down
        result: npt.NDArray[np.float32] = first + (second - first) * across
    return result


def nearest_classes(ids: npt.NDArray[np.integer], rows: Axis, columns: Axis) -> ClassMap:
    """Return the class of the nearest sample at each pixel of a photo, for a map of class ids.

    Args:
        ids: (h, w) integers.
        rows: Where the rows of the photo lie on the map; see `photo_axes`.
        columns: Where its columns lie on the map.

    Returns:
        Class ids, (rows, columns), uint8 if they fit. Pixels beyond a crop have none, nor have
        those with a negative id, or with 255 among ids that are all below 256.

    Raises:
        ShapeError: The map has another shape or type, or ids of more than 32768 classes.
    """
    if ids.ndim != 2 or not ids.size or not np.issubdtype(ids.dtype, np.integer):
        msg = f"a map of class ids must be integers of shape (h, w), got {ids.dtype} {ids.shape}"
        raise ShapeError(msg)
    most = int(ids.max())
    if most > _MOST_CLASSES:
        msg = f"expected class ids below {_MOST_CLASSES}, got {most}"
        raise ShapeError(msg)
    dtype = np.uint8 if most <= _MOST_IDS else np.uint16
    known = np.where(ids < 0, np.iinfo(dtype).max, ids).astype(dtype)
    y, x = (np.where(axis.weight < 0.5, axis.low, axis.high) for axis in (rows, columns))
    return _only_inside(known[y][:, x], rows, columns)


def _only_inside(classes: ClassMap, rows: Axis, columns: Axis) -> ClassMap:
    if not rows.inside.all():
        classes[~rows.inside] = no_class(classes)
    if not columns.inside.all():
        classes[:, ~columns.inside] = no_class(classes)
    return classes


def resize_alpha(
    values: npt.NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    *,
    platform: Platform = Platform.RUST,
) -> npt.NDArray[np.uint8]:
    """Return the opacity of each pixel of a photo, 0 to 255.

    Values are interpolated as in `choose_classes`, clipped to 0..1 and rounded; NaN becomes 0.

    Args:
        values: (h, w) float32: opacities between 0 and 1.
        rows: Where the rows of the photo lie on the map; see `photo_axes`.
        columns: Where its columns lie on the map.
        platform: RUST or PYTHON (numpy); both give the same bytes.

    Returns:
        (rows, columns) uint8; 0 beyond a crop.

    Raises:
        ShapeError: The values have the wrong shape or dtype.
    """
    check_array("values", values, np.float32, ("h", "w"))
    if not values.size:
        msg = f"expected a map with at least one value, got the shape {values.shape}"
        raise ShapeError(msg)
    if native.is_selected(platform):
        alpha: npt.NDArray[np.uint8] = native.load().resize_alpha(values, *rows[:3], *columns[:3])
    else:
        alpha = _alpha_numpy(values, rows, columns)
    if not (rows.inside.all() and columns.inside.all()):
        alpha[~rows.inside] = 0
        alpha[:, ~columns.inside] = 0
    return alpha


def _alpha_numpy(
    values: npt.NDArray[np.float32], rows: Axis, columns: Axis
) -> npt.NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # infinite and huge values
        top = values[rows.low]
        lines = top + (values[rows.high] - top) * rows.weight[:, None]
        left = lines[:, columns.low]
        level = left + (lines[:, columns.high] - left) * columns.weight
        level = level * np.float32(255) + np.float32(0.5)
    alpha: npt.NDArray[np.uint8] = np.nan_to_num(level, nan=0.0).clip(0, 255).astype(np.uint8)
    return alpha


def box_of_mask(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a mask (h, w), the last two exclusive; zeros if empty.

    So `mask[top:bottom, left:right]` has all its pixels.
    """
    y, x = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(y):
        return 0, 0, 0, 0
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def outlines(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float32]]:
    """Return the outlines of a mask, along the edges of its pixels.

    Each is a closed polygon, without its first point at its end. Those around pixels of the mask
    run clockwise (the area by the shoelace formula is positive, as y points down), and those around
    its holes run the other way: the sum of all areas is the number of pixels. Pixels that touch at
    a corner belong to one region, as in OpenCV's `findContours`.

    Args:
        mask: (h, w) bool.

    Returns:
        (m, 2) float32 each: x and y of the corners, from 0 to the width and height.
    """
    padded = np.pad(mask.astype(np.int8), 1)
    # The side of a pixel below an edge runs right, of one above left; at its right down, left up.
    across = _sides(padded[1:, 1:-1] - padded[:-1, 1:-1])
    down = _sides((padded[1:-1, :-1] - padded[1:-1, 1:]).T)
    width = mask.shape[1] + 1
    across_starts, across_ends = (across[:, 0] * width + across[:, i] for i in (1, 2))
    down_starts, down_ends = (down[:, i] * width + down[:, 0] for i in (1, 2))
    is_right, is_down = across[:, 1] < across[:, 2], down[:, 1] < down[:, 2]
    # Where two pixels touch at a corner, two sides start: a path turns to the left there.
    then_down = _following(across_ends, down_starts, ~is_right, is_down)
    then_across = _following(down_ends, across_starts, is_down, is_right)
    corners, others = across_starts.tolist(), down_starts.tolist()
    is_new = [True] * len(across)
    found = []
    for first in range(len(across)):
        path: list[int] = []
        side = first
        while is_new[side]:
            is_new[side] = False
            path.append(corners[side])
            side = then_down[side]
            path.append(others[side])
            side = then_across[side]
        if path:
            y, x = np.divmod(np.array(path), width)
            found.append(np.stack((x, y), axis=1).astype(np.float32))
    return found


def _sides(steps: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Return the runs of equal steps in each row: row, start and end, swapped where they are -1."""
    rows, length = steps.shape
    flat = np.zeros((rows, length + 1), np.int8)
    flat[:, :length] = steps
    flat = flat.reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=np.int8(0)))
    ends = np.append(starts[1:], flat.size)
    is_side = flat[starts] != 0
    starts, ends = starts[is_side], ends[is_side]
    line = starts // (length + 1)
    begin, end = starts - line * (length + 1), ends - line * (length + 1)
    is_forward = flat[starts] > 0
    return np.stack((line, np.where(is_forward, begin, end), np.where(is_forward, end, begin)), 1)


def _following(
    ends: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.bool_],
    directions: npt.NDArray[np.bool_],
) -> list[int]:
    """Return the side that starts where each side ends; of two, that with the wanted direction."""
    order = np.lexsort((directions, starts))
    known = starts[order]
    first = np.searchsorted(known, ends, "left")
    is_double = np.searchsorted(known, ends, "right") - first > 1
    following: list[int] = order[first + (is_double & wanted)].tolist()
    return following
