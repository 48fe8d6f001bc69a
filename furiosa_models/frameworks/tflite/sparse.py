"""Sparse constants of TensorFlow Lite: blocks and compressed dimensions, expanded to arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import WeightsError
from ...networks.readers._flatbuffer import Table
from ..base import Array
from .schema import Numbers

__all__ = ["Sparsity", "read_sparsity"]

_COMPRESSED = 1
_INDEX_TYPES = {1: "i", 2: "H", 3: "B"}


@dataclass(frozen=True)
class Sparsity:
    """How the values of a sparse constant are stored.

    Attributes:
        order: Dimensions from the outermost stored one to the innermost; those of the blocks are
            numbered after those of the array.
        block_map: Dimension of the array that each dimension of the blocks divides.
        levels: In that order, the size of a dense dimension, or the segments and indices of a
            compressed one.
    """

    order: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[int | tuple[Array, Array], ...]

    def expand(self, values: Array, shape: tuple[int, ...]) -> Array:
        """Return the dense array of the stored values.

        Raises:
            WeightsError: The description does not fit the values, or the shape.
        """
        rank, blocks = len(shape), self._block_sizes(len(shape))
        positions = np.zeros(1, np.int64)
        coordinates = [np.zeros(1, np.int64) for _ in range(rank)]
        for dim, level in zip(self.order, self.levels, strict=True):
            parents, positions, index = _descend(level, positions, math.prod(shape))
            coordinates = [coordinate[parents] for coordinate in coordinates]
            target = dim if dim < rank else self.block_map[dim - rank]
            inner = dim >= rank
            factor = 1 if inner else blocks.get(target, 1)
            coordinates[target] = coordinates[target] + index * factor
        if len(positions) != len(values) or (positions >= len(values)).any():
            msg = f"a sparse tensor stores {len(values)} values for {len(positions)} places"
            raise WeightsError(msg)
        dense = np.zeros(shape, values.dtype)
        dense[tuple(coordinates)] = values[positions]
        return dense

    def _block_sizes(self, rank: int) -> dict[int, int]:
        """Return the size of the blocks along each divided dimension of the array."""
        sizes = {}
        expected = list(range(rank + len(self.block_map)))
        fits = len(self.block_map) <= rank and len(self.levels) == len(expected)
        if not fits or sorted(self.order) != expected:
            msg = f"a sparse tensor of {rank} dimensions is stored in the order {self.order}"
            raise WeightsError(msg)
        for dim, level in zip(self.order, self.levels, strict=True):
            if dim >= rank:
                if not isinstance(level, int):
                    msg = "the blocks of a sparse tensor are compressed: expected dense ones"
                    raise WeightsError(msg)
                sizes[self.block_map[dim - rank]] = level
        return sizes


def _descend(
    level: int | tuple[Array, Array], positions: Array, limit: int
) -> tuple[Array, Array, Array]:
    """Return, for each entry of a level, its parent, its position, and its index."""
    if isinstance(level, int):
        counts: Array = np.full(len(positions), level, np.int64)
        starts = positions * level
    else:
        segments, _ = level
        starts = segments[positions].astype(np.int64)
        counts = segments[positions + 1].astype(np.int64) - starts
    if (counts < 0).any() or int(counts.sum()) > limit:
        msg = f"a sparse tensor describes more than its {limit} values"
        raise WeightsError(msg)
    parents = np.repeat(np.arange(len(positions)), counts)
    inside = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
    children = starts[parents] + inside
    return parents, children, inside if isinstance(level, int) else level[1][children]


def read_sparsity(table: Table, numbers: Numbers) -> Sparsity:
    """Return the description in a table of the file; `numbers` reads a vector of a table."""
    return Sparsity(
        tuple(numbers(table, 0, "i").tolist()),
        tuple(numbers(table, 1, "i").tolist()),
        tuple(_read_level(level, numbers) for level in table.tables(2)),
    )


def _read_level(table: Table, numbers: Numbers) -> int | tuple[Array, Array]:
    if table.scalar(0, "b") != _COMPRESSED:
        return table.scalar(1, "i")
    found = []
    for field in (2, 4):
        vector = table.table(field + 1)
        code = _INDEX_TYPES.get(table.scalar(field, "B"))
        if vector is None or code is None:
            msg = "a compressed dimension of a sparse tensor has no indices"
            raise WeightsError(msg)
        found.append(numbers(vector, 0, code).astype(np.int64))
    return found[0], found[1]
