"""How photos are cut into tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..ops.checks import check_unit

__all__ = ["OVERLAP", "Part", "Tile", "Tiles", "Tiling"]

Tiles: TypeAlias = 'Literal["auto"] | tuple[int, int]'
"""The argument `tiles` of `predict`: `"auto"`, or width and height of a tile in pixels."""

OVERLAP = 0.2
"""Part of a tile that the next one shares, by default."""

_MIN_SIDE = 16
_MAX_AUTOMATIC = 64  # tiles of a photo
_GROWTH = 1.25  # of automatic tiles, until there are few enough


class Tile(NamedTuple):
    """A part of a photo: its left, top, right and bottom edges in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def inner_edges(self, width: int, height: int) -> npt.NDArray[np.bool_]:
        """Return which edges lie inside a photo, (4,), in the order of the fields."""
        return np.array([self.left > 0, self.top > 0, self.right < width, self.bottom < height])


class Part(NamedTuple):
    """What was found in a tile, in pixels of the tile.

    Attributes:
        result: The result.
        tile: The tile.
        inner: (4,) bool: which edges of the tile lie inside the photo; see `Tile`.
    """

    result: Any
    tile: Tile
    inner: npt.NDArray[np.bool_]


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
        shared = OVERLAP if overlap is None else overlap
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

    def cut(self, width: int, height: int, input_size: tuple[int, int]) -> list[Tile]:
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
        return [Tile(x, y, x + across, y + down) for y, x in product(rows, columns)]

    def _starts(self, length: int, side: float) -> list[int]:
        """Return where tiles start, spread evenly along a side of the photo."""
        last = length - int(side)
        if last <= 0:
            return [0]
        steps = math.ceil(last / max(side * (1 - self.overlap), 1.0))
        return [round(last * step / steps) for step in range(steps + 1)]
