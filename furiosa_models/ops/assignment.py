"""Optimal assignment of rows to columns: the linear sum assignment problem with a limit."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.ops import native
from furiosa_models.ops.checks import check_array

__all__ = ["assign"]

Costs: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]


def assign(
    costs: Costs, limit: float, *, platform: Platform = Platform.RUST
) -> tuple[Indices, Indices]:
    """Return the pairs of rows and columns with the least total cost.

    A row and a column may stay without partner, which costs `limit`; so no pair costs as much.
    This is the problem that trackers solve with `lapjv(..., cost_limit=limit)`. Both
    implementations find shortest augmenting paths (Jonker and Volgenant 1987, in the form of Crouse
    2016, "On implementing 2D rectangular assignment algorithms") and give the same pairs.

    Args:
        costs: `(n, m)` float64; infinity forbids a pair.
        limit: Cost that no pair reaches.
        platform: RUST or PYTHON (numpy).

    Returns:
        The rows, ascending, and their columns: `(k,)` int64 each.

    Raises:
        ShapeError: `costs` is not a float64 matrix.
        ValueError: A cost is NaN or minus infinity, the limit is not finite, or their difference
            overflows.
    """
    check_array("costs", costs, np.float64, ("n", "m"))
    with np.errstate(over="ignore", invalid="ignore"):
        gains = np.minimum(costs - limit, 0.0)
    if not (np.isfinite(limit) and np.isfinite(gains).all()):
        msg = f"costs must be numbers or infinity, and the limit {limit} finite"
        raise ValueError(msg)
    useful = gains < 0.0
    rows, columns = np.flatnonzero(useful.any(axis=1)), np.flatnonzero(useful.any(axis=0))
    part = gains[np.ix_(rows, columns)]
    is_tall = len(rows) > len(columns)
    wide = np.ascontiguousarray(part.T if is_tall else part)
    solve: Any = native.load().assign if native.is_selected(platform) else _solve
    partners: Indices = solve(wide)
    own = np.arange(len(partners))
    pairs = (partners, own) if is_tall else (own, partners)
    order = np.argsort(pairs[0])
    first, second = pairs[0][order], pairs[1][order]
    paired = part[first, second] < 0.0
    return rows[first[paired]], columns[second[paired]]


def _solve(costs: Costs) -> Indices:
    """Return the column of each row; there are at least as many columns as rows."""
    height, width = costs.shape
    row_price, column_price = np.zeros(height), np.zeros(width)
    column_of, row_of = np.full(height, -1, np.int64), np.full(width, -1, np.int64)
    for start in range(height):
        shortest, parent = np.full(width, np.inf), np.full(width, -1, np.int64)
        reached = np.zeros(width, bool)
        rows = [start]
        length, row = 0.0, start
        while True:
            path = length + costs[row] - row_price[row] - column_price
            better = ~reached & (path < shortest)
            shortest[better], parent[better] = path[better], row
            end = int(np.where(reached, np.inf, shortest).argmin())
            length = float(shortest[end])
            reached[end] = True
            if row_of[end] < 0:
                break
            row = int(row_of[end])
            rows.append(row)
        row_price[start] += length
        for row in rows[1:]:
            row_price[row] += length - shortest[column_of[row]]
        column_price[reached] -= length - shortest[reached]
        while True:  # reverse the path
            row = int(parent[end])
            row_of[end] = row
            column_of[row], end = end, int(column_of[row])
            if row == start:
                break
    return column_of
