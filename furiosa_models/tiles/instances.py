"""Merge the masks of objects in tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
        tiles: The tiles that show it; none for the whole photo.
        is_of_parts: Whether it was made of what the edges of tiles cut off.
    """

    bits: Bits
    top: int
    first: int
    box: Tile
    area: int
    score: np.float32
    class_id: int
    tiles: frozenset[Tile] = frozenset()
    is_of_parts: bool = False

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

    def shared(self, other: _Object) -> int:
        """Return the number of pixels that are in both masks."""
        top, first = max(self.top, other.top), max(self.first, other.first)
        windows = [
            each.bits[top - each.top :, first - each.first :]
            for each in (self, other)
            if top < each.top + each.bits.shape[0] and first < each.first + each.bits.shape[1]
        ]
        if len(windows) < 2:
            return 0
        rows, columns = (min(lengths) for lengths in zip(*(w.shape for w in windows), strict=True))
        return _area(windows[0][:rows, :columns] & windows[1][:rows, :columns])

    def overlap(self, other: _Object) -> float:
        """Return the intersection of two masks over their union.

        It is that over the smaller area if one was made of parts, which may not be all of it. But
        what the same tile shows are two objects.
        """
        shared = self.shared(other)
        if (self.is_of_parts or other.is_of_parts) and not self.tiles & other.tiles:
            area = min(self.area, other.area)
        else:
            area = self.area + other.area - shared
        return shared / area if area else 0.0

    def lies_in(self, other: _Object) -> bool:
        """Return whether this is mostly a part of an object of its class that other tiles show."""
        if self.class_id != other.class_id or self.tiles & other.tiles:
            return False
        return self.shared(other) >= _AGREEMENT * self.area


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

    def agrees(self, other: _Cut, tiles: Sequence[Tile]) -> bool:
        """Return whether this and a part in another tile are one object.

        They are if the masks agree where both tiles see it, or on both sides of their border if
        they do not overlap, and none of all the tiles does it with both.
        """
        a, b = self.tile, other.tile
        if self.found.class_id != other.found.class_id or a == b:
            return False
        if not (_touch(self.found.box, b) and _touch(other.found.box, a)):
            return False
        edges = [e for e in range(4) if a[e] == b[(e + 2) % 4]]
        if any(self.is_seen_across(edge, tiles) for edge in edges):
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

    def open_edges(self, others: Sequence[_Cut]) -> list[int]:
        """Return the edges where it is cut and no tile of other parts shows what is behind."""
        cut = np.flatnonzero(self.edges).tolist()
        return [
            edge
            for edge in cut
            if not any(_intersect(other.tile, self._line(edge, 1)) for other in others)
        ]

    def is_seen_across(self, edge: int, tiles: Sequence[Tile]) -> bool:
        """Return whether a tile shows both sides of an edge: there is none without an overlap."""
        lines = self._line(edge, int(EDGE)), self._line(edge, -int(EDGE))
        return any(all(_intersect(tile, line) for line in lines) for tile in tiles)

    def _line(self, edge: int, distance: int) -> Tile:
        """Return a line of pixels along the part: the first behind an edge is at the distance 1.

        The first before it is at the distance -1.
        """
        border, axis = self.tile[edge], edge % 2
        outward = distance if edge >= 2 else -distance
        place = list(self.found.box)
        place[axis] = border + outward - (outward > 0)
        place[axis + 2] = place[axis] + 1
        return Tile(*place)


def merge_instances(whole: Instances, parts: Sequence[Part], iou_threshold: float) -> Instances:
    """Return the objects of a photo and of its tiles, best first.

    An object that an edge of its tile cuts off is joined with its parts in the next tiles: their
    masks are united, and the best score counts. What mostly lies in an object that is whole in
    another tile is a part of it, and left out. So is, as of boxes, what ends at an edge without a
    part behind it, where a tile shows both sides of the edge. The others are suppressed within
    classes, by the IoU of their masks, or by the smaller mask if one was joined.
    """
    corner = Tile(0, 0, 0, 0)
    found = [_windowed(whole, index, corner) for index in range(len(whole))]
    cut: list[_Cut] = []
    for part in parts:
        for index, edges in enumerate(cut_edges(part)):
            each = replace(_windowed(part.result, index, part.tile), tiles=frozenset([part.tile]))
            if edges.any():
                cut.append(_Cut(each, part.tile, edges))
            else:
                found.append(each)
    joined = _joined(cut, found, [part.tile for part in parts])
    return _result(whole, _best([*found, *joined], iou_threshold))


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


def _intersect(box: Tile, other: Tile) -> bool:
    """Return whether two boxes have pixels in common."""
    across = min(box.right, other.right) > max(box.left, other.left)
    return across and min(box.bottom, other.bottom) > max(box.top, other.top)


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


def _joined(
    cut: Sequence[_Cut], found: Sequence[_Object], tiles: Sequence[Tile]
) -> Iterator[_Object]:
    """Yield the objects of parts, without those of which a tile shows no part that it should.

    Args:
        cut: The parts.
        found: The objects that are whole, in the photo or in a tile.
        tiles: All tiles.
    """
    groups = [{index} for index in range(len(cut))]
    for i, j in combinations(range(len(cut)), 2):
        if groups[i] is not groups[j] and cut[i].agrees(cut[j], tiles):
            groups[i] |= groups[j]
            for index in groups[j]:
                groups[index] = groups[i]
    for first, group in enumerate(groups):
        if first != min(group):
            continue
        parts = [cut[index] for index in sorted(group)]
        edges = [(part, edge) for part in parts for edge in part.open_edges(parts)]
        if any(part.is_seen_across(edge, tiles) for part, edge in edges):
            continue
        joined = _united([part.found for part in parts])
        # What ends at edges that no tile shows may go on behind them: the photo tells.
        whole = [each for each in found if each.tiles or edges]
        if not any(joined.lies_in(each) for each in whole):
            yield joined


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
    tiles = frozenset[Tile]().union(*(each.tiles for each in objects))
    facts = _area(bits), best, objects[0].class_id
    return _Object(bits, top, first, box, *facts, tiles, is_of_parts=True)


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
