"""Merge the masks of objects in tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..ops.packed_masks import Bits, areas_of, unpack
from ..tasks.instances import Instances
from .boxes import EDGE, cut_edges
from .tiling import Part, Tile

__all__ = ["merge_instances"]

_AGREEMENT = 0.5
"""Least share of the smaller mask, where two tiles overlap, that is in both masks of an object."""


@dataclass(frozen=True, slots=True)
class _Object:
    """An object with the window of a bit-packed mask around it.

    Attributes:
        bits: (h, bytes) uint8; see `ops.packed_masks.Bits`.
        top: Row of the photo where the window begins.
        first: Byte of a row of the photo's mask where it begins: 8 pixels each.
        box: Box of the mask in pixels of the photo.
        area: Number of pixels of the mask.
        score: Confidence.
        class_id: Class id.
    """

    bits: Bits
    top: int
    first: int
    box: Tile
    area: int
    score: np.float32
    class_id: int

    def within(self, place: Tile) -> npt.NDArray[np.bool_]:
        """Return the mask in a part of the photo."""
        mask = np.zeros((place.bottom - place.top, place.right - place.left), np.bool_)
        left, right = max(place.left, self.box.left), min(place.right, self.box.right)
        top, bottom = max(place.top, self.box.top), min(place.bottom, self.box.bottom)
        if left < right and top < bottom:
            rows = self.bits[top - self.top : bottom - self.top]
            pixels = unpack(rows, right - 8 * self.first)[:, left - 8 * self.first :]
            mask[top - place.top : bottom - place.top, left - place.left : right - place.left] = (
                pixels
            )
        return mask

    def overlap(self, other: _Object) -> float:
        """Return the intersection over union of two masks."""
        top, first = max(self.top, other.top), max(self.first, other.first)
        windows = [
            each.bits[top - each.top :, first - each.first :]
            for each in (self, other)
            if top < each.top + each.bits.shape[0] and first < each.first + each.bits.shape[1]
        ]
        if len(windows) < 2:
            return 0.0
        rows, columns = (min(lengths) for lengths in zip(*(w.shape for w in windows), strict=True))
        both = windows[0][:rows, :columns] & windows[1][:rows, :columns]
        shared = _area(both)
        union = self.area + other.area - shared
        return shared / union if union else 0.0


@dataclass(frozen=True, slots=True)
class _Cut:
    """An object of a tile that ends at edges of the tile.

    Attributes:
        found: The object.
        tile: The tile.
        edges: (4,) bool: the edges where it ends; see `Tile`.
    """

    found: _Object
    tile: Tile
    edges: npt.NDArray[np.bool_]

    def agrees(self, other: _Cut) -> bool:
        """Return whether this and a part in another tile are one object.

        They are if the masks agree where both tiles see it, or, of tiles without an overlap, on
        both sides of their border.
        """
        a, b = self.tile, other.tile
        if self.found.class_id != other.found.class_id or a == b:
            return False
        if not (_touch(self.found.box, b) and _touch(other.found.box, a)):
            return False
        places = (
            _shared(a.left, a.right, b.left, b.right),
            _shared(a.top, a.bottom, b.top, b.bottom),
        )
        (ours_x, theirs_x), (ours_y, theirs_y) = places
        ours = self.found.within(Tile(ours_x[0], ours_y[0], ours_x[1], ours_y[1]))
        theirs = other.found.within(Tile(theirs_x[0], theirs_y[0], theirs_x[1], theirs_y[1]))
        both, least = int((ours & theirs).sum()), min(int(ours.sum()), int(theirs.sum()))
        return least > 0 and both >= _AGREEMENT * least

    def is_followed(self, others: Sequence[_Cut]) -> bool:
        """Return whether tiles of other parts show what is behind all edges of this part."""
        box, tile, deep = self.found.box, self.tile, int(EDGE)
        behind = (
            Tile(tile.left - deep, box.top, tile.left, box.bottom),
            Tile(box.left, tile.top - deep, box.right, tile.top),
            Tile(tile.right, box.top, tile.right + deep, box.bottom),
            Tile(box.left, tile.bottom, box.right, tile.bottom + deep),
        )
        return all(
            any(other.shows(place) for other in others)
            for place, is_cut in zip(behind, self.edges, strict=True)
            if is_cut
        )

    def shows(self, place: Tile) -> bool:
        """Return whether the tile has a part of a place."""
        across = min(self.tile.right, place.right) > max(self.tile.left, place.left)
        down = min(self.tile.bottom, place.bottom) > max(self.tile.top, place.top)
        return across and down


def merge_instances(whole: Instances, parts: Sequence[Part], iou_threshold: float) -> Instances:
    """Return the objects of a photo and of its tiles, best first.

    An object that an edge of its tile cuts off is joined with its parts in the next tiles: their
    masks are united, and the best score counts. As of boxes, what ends at an edge without a part
    behind it is left out, and the others are suppressed within classes, by the IoU of their masks.
    """
    corner = Tile(0, 0, 0, 0)
    found = [_windowed(whole, index, corner) for index in range(len(whole))]
    cut: list[_Cut] = []
    for part in parts:
        for index, edges in enumerate(cut_edges(part)):
            each = _windowed(part.result, index, part.tile)
            if edges.any():
                cut.append(_Cut(each, part.tile, edges))
            else:
                found.append(each)
    found += _joined(cut)
    return _result(whole, _best(found, iou_threshold))


def _windowed(result: Instances, index: int, tile: Tile) -> _Object:
    """Return an object of a tile with its mask in the photo."""
    left, top, right, bottom = (int(edge) for edge in result.boxes[index])
    mask = unpack(result.bits[index, top:bottom], right)[:, left:]
    first, before = divmod(tile.left + left, 8)
    bits = np.packbits(np.pad(mask, ((0, 0), (before, 0))), axis=-1)
    box = Tile(tile.left + left, tile.top + top, tile.left + right, tile.top + bottom)
    facts = result.scores[index], int(result.class_ids[index])
    return _Object(bits, box.top, first, box, _area(bits), *facts)


def _area(bits: Bits) -> int:
    """Return the number of pixels of a mask, (h, bytes)."""
    return int(areas_of(bits[None])[0])


def _touch(box: Tile, other: Tile) -> bool:
    """Return whether two boxes overlap, or have a part of an edge in common."""
    across = box.left <= other.right and other.left <= box.right
    return across and box.top <= other.bottom and other.top <= box.bottom


def _shared(
    start: int, end: int, other_start: int, other_end: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the part of each of two sides of tiles to compare.

    This is what they share; the pixels at the border if they only touch; or nothing.
    """
    low, high = max(start, other_start), min(end, other_end)
    if low < high:
        return (low, high), (low, high)
    if low > high:
        return (0, 0), (0, 0)
    at_end, at_start = (low - 1, low), (low, low + 1)
    return (at_end, at_start) if end == low else (at_start, at_end)


def _joined(cut: Sequence[_Cut]) -> Iterator[_Object]:
    """Yield the objects of parts, without those of which a tile shows no part that it should."""
    groups = [{index} for index in range(len(cut))]
    for i, j in combinations(range(len(cut)), 2):
        if groups[i] is not groups[j] and cut[i].agrees(cut[j]):
            groups[i] |= groups[j]
            for index in groups[j]:
                groups[index] = groups[i]
    for first, group in enumerate(groups):
        if first == min(group) and len(group) > 1:
            parts = [cut[index] for index in sorted(group)]
            if all(part.is_followed(parts) for part in parts):
                yield _united([part.found for part in parts])


def _united(objects: Sequence[_Object]) -> _Object:
    """Return the object with the masks of all."""
    boxes = np.array([each.box for each in objects])
    left, top = boxes[:, :2].min(0).tolist()
    right, bottom = boxes[:, 2:].max(0).tolist()
    first = left // 8
    bits = np.zeros((bottom - top, -(-right // 8) - first), np.uint8)
    for each in objects:
        _draw(each, bits, top, first)
    box, best = Tile(left, top, right, bottom), max(each.score for each in objects)
    return _Object(bits, top, first, box, _area(bits), best, objects[0].class_id)


def _draw(found: _Object, bits: Bits, top: int, first: int) -> None:
    """Add the pixels of an object to a window that contains its own."""
    height, length = found.bits.shape
    y, x = found.top - top, found.first - first
    bits[y : y + height, x : x + length] |= found.bits


def _best(found: Sequence[_Object], iou_threshold: float) -> list[_Object]:
    """Return the objects that no better one of their class overlaps, best first."""
    kept: list[_Object] = []
    for each in sorted(found, key=lambda found: -found.score):
        of_class = (other for other in kept if other.class_id == each.class_id)
        if not any(each.overlap(other) > iou_threshold for other in of_class):
            kept.append(each)
    return kept


def _result(whole: Instances, objects: Sequence[_Object]) -> Instances:
    """Return objects as a result."""
    shape = len(objects), *whole.bits.shape[1:]
    bits = np.zeros(shape, np.uint8)
    for mask, each in zip(bits, objects, strict=True):
        _draw(each, mask, 0, 0)
    return Instances(
        bits,
        whole.width,
        np.array([each.score for each in objects], np.float32),
        np.array([each.class_id for each in objects], np.int64),
        whole.names,
        boxes=np.array([each.box for each in objects], np.float32).reshape(-1, 4),
    )
