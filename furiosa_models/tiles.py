"""Predict large photos in tiles, so that small objects are large enough for the network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .images.pipeline import Speed, Steps
from .images.read import DecodedImage
from .ops.checks import check_unit
from .ops.nms import batched_nms
from .tasks.base import ArrayResult

__all__ = ["TiledSteps", "Tiles", "Tiling"]

Tiles: TypeAlias = 'Literal["auto"] | tuple[int, int]'
"""The argument `tiles` of `predict`: `"auto"`, or width and height of a tile in pixels."""

_OVERLAP = 0.2
_MIN_SIDE = 16
_MAX_AUTOMATIC = 64  # tiles of a photo
_GROWTH = 1.25  # of automatic tiles, until there are few enough
_TOGETHER = 8  # tiles that run in one batch
_EDGE = 2.0  # pixels from the edge of a tile where a box is cut off
_IOU = 0.5  # boxes of one object in two tiles differ more than those in one


class _Tile(NamedTuple):
    """A part of a photo: its left, top, right and bottom edges in pixels."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Tiling:
    """How photos are cut into tiles.

    Attributes:
        size: Width and height of a tile; None for about the size of the network's input.
        overlap: Part of a tile that it shares with the next one, at least.
    """

    size: tuple[int, int] | None
    overlap: float

    @classmethod
    def of(cls, tiles: Any, overlap: float | None) -> Tiling | None:
        """Return the tiling for the arguments of `predict`; None without tiles.

        Raises:
            TypeError: `tiles` is neither `"auto"` nor two integers, or `overlap` is no number.
            ValueError: A side is less than 16, `overlap` is not in 0 to 0.9, or given without
                `tiles`.
        """
        if tiles is None:
            if overlap is not None:
                msg = f"overlap={overlap} needs tiles='auto' or tiles=(width, height)"
                raise ValueError(msg)
            return None
        shared = _OVERLAP if overlap is None else overlap
        check_unit("overlap", shared)
        if shared > 0.9:
            msg = f"overlap must be at most 0.9, got {shared}"
            raise ValueError(msg)
        if isinstance(tiles, str):
            if tiles != "auto":
                msg = f"tiles must be 'auto' or a width and a height in pixels, got {tiles!r}"
                raise ValueError(msg)
            return cls(None, float(shared))
        is_pair = isinstance(tiles, (tuple, list)) and len(tiles) == 2
        if not is_pair or not all(isinstance(s, Integral) for s in tiles):
            msg = f"tiles must be 'auto' or a width and a height in pixels, got {tiles!r}"
            raise TypeError(msg)
        if min(tiles) < _MIN_SIDE:
            msg = f"a tile must have sides of at least {_MIN_SIDE} pixels, got {tuple(tiles)}"
            raise ValueError(msg)
        return cls((int(tiles[0]), int(tiles[1])), float(shared))

    def cut(self, width: int, height: int, input_size: tuple[int, int]) -> list[_Tile]:
        """Return the tiles of a photo; none if a single one would contain it.

        Args:
            width: Width of the photo.
            height: Height of the photo.
            input_size: Width and height of the network's input.
        """
        size: tuple[float, float] = self.size or input_size
        columns, rows = self._starts(width, size[0]), self._starts(height, size[1])
        while self.size is None and len(columns) * len(rows) > _MAX_AUTOMATIC:
            size = size[0] * _GROWTH, size[1] * _GROWTH
            columns, rows = self._starts(width, size[0]), self._starts(height, size[1])
        if len(columns) * len(rows) == 1:
            return []
        across, down = min(int(size[0]), width), min(int(size[1]), height)
        return [_Tile(x, y, x + across, y + down) for y, x in product(rows, columns)]

    def _starts(self, length: int, side: float) -> list[int]:
        """Return where tiles start, spread evenly along a side of the photo."""
        last = length - int(side)
        if last <= 0:
            return [0]
        steps = math.ceil(last / max(side * (1 - self.overlap), 1.0))
        return [round(last * step / steps) for step in range(steps + 1)]


@dataclass(frozen=True, slots=True)
class TiledSteps(Steps[Any]):
    """Steps that run each photo as a whole and in tiles, and merge the results.

    Attributes:
        tiling: How photos are cut.
        input_size: Width and height of the network's input.
        iou_threshold: Maximum IoU of two objects of one class.
    """

    tiling: Tiling = Tiling(None, _OVERLAP)
    input_size: tuple[int, int] = (0, 0)
    iou_threshold: float = _IOU

    @classmethod
    def of(
        cls,
        steps: Steps[Any],
        tiling: Tiling,
        input_size: tuple[int, int],
        iou_threshold: float | None,
        heads_threshold: float | None,
    ) -> TiledSteps:
        """Return the tiled form of steps.

        Args:
            steps: The steps of whole photos.
            tiling: How photos are cut.
            input_size: Width and height of the network's input.
            iou_threshold: Maximum IoU of two objects of one class; None for 0.5 or that of the
                head, whichever is less.
            heads_threshold: That of the head, if it has one.
        """
        own = {each.name: getattr(steps, each.name) for each in fields(steps)}
        # Tiles are cut from the photo at full size.
        own |= {"draft": None, "needed": None}
        limit = iou_threshold
        if limit is None:
            limit = _IOU if heads_threshold is None else min(_IOU, heads_threshold)
        return cls(**own, tiling=tiling, input_size=input_size, iou_threshold=limit)

    def results(self, images: Sequence[DecodedImage]) -> list[Any]:
        """Return the merged result of each photo; its speed is that of all tiles together."""
        return [self._merged(image) for image in images]

    def _merged(self, image: DecodedImage) -> Any:
        height, width = image.pixels.shape[:2]
        tiles = self.tiling.cut(width, height, self.input_size)
        parts = [_cut(image, tile) for tile in tiles]
        whole, *found = [each for batch in _batches([image, *parts]) for each in self._run(batch)]
        if not tiles:
            return whole
        pairs = zip(found, tiles, strict=True)
        moved = [_uncut(part, tile, width, height) for part, tile in pairs]
        every = whole.joined(
            [part.moved(t.left, t.top) for part, t in zip(moved, tiles, strict=True)]
        )
        kept = every[_best(every, self.iou_threshold)]
        kept.speed = _total([whole.speed, *(part.speed for part in found)])
        return kept

    def _run(self, batch: Sequence[DecodedImage]) -> list[Any]:
        return Steps.results(self, batch)  # super() does not work with slots


def _batches(images: Sequence[DecodedImage]) -> Iterator[Sequence[DecodedImage]]:
    for start in range(0, len(images), _TOGETHER):
        yield images[start : start + _TOGETHER]


def _cut(image: DecodedImage, tile: _Tile) -> DecodedImage:
    pixels = image.pixels[tile.top : tile.bottom, tile.left : tile.right]
    return DecodedImage(np.ascontiguousarray(pixels), image.bgr, image.name)


def _uncut(part: Any, tile: _Tile, width: int, height: int) -> Any:
    """Return the objects of a tile without those that end at an edge inside the photo.

    Such a box shows a part of an object, which is whole in the next tile or in the photo.
    """
    left, top, right, bottom = part.boxes.T
    cut = np.zeros(len(part), bool)
    if tile.left > 0:
        cut |= left < _EDGE
    if tile.top > 0:
        cut |= top < _EDGE
    if tile.right < width:
        cut |= right > tile.right - tile.left - _EDGE
    if tile.bottom < height:
        cut |= bottom > tile.bottom - tile.top - _EDGE
    return part[~cut]


def _best(found: ArrayResult[Any], iou_threshold: float) -> npt.NDArray[np.int64]:
    """Return the indices of the objects that suppression within classes keeps, best first."""
    class_ids = getattr(found, "class_ids", None)
    if class_ids is None:
        class_ids = np.zeros(len(found), np.int64)
    boxes = np.ascontiguousarray(found.boxes, np.float32)
    scores = np.ascontiguousarray(found.scores, np.float32)
    return batched_nms(boxes, scores, np.ascontiguousarray(class_ids), iou_threshold)


def _total(speeds: Sequence[Speed | None]) -> Speed | None:
    known = [speed for speed in speeds if speed is not None]
    return Speed(*map(sum, zip(*known, strict=True))) if known else None
