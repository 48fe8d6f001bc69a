"""Merge the class maps, and the mattes, of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..labels import BACKGROUNDS
from ..ops.masks import ClassMap, no_class
from ..tasks.matte import Matte
from ..tasks.segmentation import SemanticMap
from .tiling import Part

__all__ = ["merge_maps", "merge_mattes"]


def merge_maps(whole: SemanticMap, parts: Sequence[Part], iou_threshold: float) -> SemanticMap:
    """Return the class of each pixel in the tile at whose edges it is farthest away.

    Networks see least at the edges of an image. Results have no scores that could be blended: those
    of all classes at the photo's size would be hundreds of megabytes. Where a tile shows the
    background or no class, that of the whole photo counts: a tile inside of a large object may show
    no more than its texture.
    """
    del iou_threshold
    dtype = np.result_type(whole.class_map, *(part.result.class_map for part in parts))
    classes = _with_type(whole.class_map, dtype)
    depth = np.zeros(classes.shape, np.float32)
    nearest = np.full_like(classes, no_class(classes))
    for part in parts:
        down, across = _depths(part)
        depths = np.minimum(down[:, None], across)
        place = np.s_[part.tile.top : part.tile.bottom, part.tile.left : part.tile.right]
        is_deeper = depths > depth[place]
        depth[place][is_deeper] = depths[is_deeper]
        nearest[place][is_deeper] = _with_type(part.result.class_map, dtype)[is_deeper]
    behind = [index for index, name in enumerate(whole.names) if name in BACKGROUNDS]
    is_shown = ~np.isin(nearest, [*behind, no_class(nearest)])
    return SemanticMap(np.where(is_shown, nearest, classes), whole.names)


def merge_mattes(whole: object, parts: Sequence[Part], iou_threshold: float) -> Matte:
    """Return the mattes of tiles; where they overlap, one fades into the next.

    The matte of the whole photo does not count: it is coarser than those of its tiles. Opacities
    that the head stretches to the whole range are stretched once, from the lowest to the highest of
    all tiles: that of each tile by itself would make the noise of an empty one a foreground.
    """
    del whole, iou_threshold
    size = max(part.tile.bottom for part in parts), max(part.tile.right for part in parts)
    limits = [part.result.stretched_from or (0.0, 1.0) for part in parts]
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    total = np.zeros(size, np.float32)
    weights = np.zeros_like(total)
    for part, (lowest, highest) in zip(parts, limits, strict=True):
        down, across = _depths(part)
        place = np.s_[part.tile.top : part.tile.bottom, part.tile.left : part.tile.right]
        # Of two tiles, one weight falls and the other rises linearly through the overlap.
        weight = down[:, None] * across
        opacity = part.result.alpha * np.float32(highest - lowest)
        total[place] += weight * (opacity + np.float32(255 * (lowest - low)))
        weights[place] += weight
    stretched = total / (weights * np.float32(high - low)) if low < high else total
    alpha = np.rint(stretched).astype(np.uint8)
    first: Matte = parts[0].result
    span = None if first.stretched_from is None else (low, high)
    return Matte(alpha, first.label, stretched_from=span)


def _depths(part: Part) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the distance of rows and columns of a tile to its edges inside the photo.

    The edges of the photo itself do not count, but the tile's own size limits the distance.
    """
    left, top, right, bottom = part.tile
    found = []
    for length, first, last in ((bottom - top, 1, 3), (right - left, 0, 2)):
        middle = np.arange(length, dtype=np.float32) + np.float32(0.5)
        low = middle if part.inner[first] else np.full_like(middle, length)
        high = length - middle if part.inner[last] else np.full_like(middle, length)
        found.append(np.minimum(low, high))
    down, across = found
    return down, across


def _with_type(classes: ClassMap, dtype: np.dtype[np.unsignedinteger]) -> ClassMap:
    """Return a map of a type, which may be larger: pixels of no class keep having none."""
    if classes.dtype == dtype:
        return classes
    known = classes.astype(dtype)
    known[classes == no_class(classes)] = np.iinfo(dtype).max
    return known
