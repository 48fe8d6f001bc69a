"""Histogram whose range grows with the data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Histogram"]

BINS = 4096


class Histogram:
    """Counts of values in at most `BINS` bins, whose width is a power of two.

    If the range outgrows the bins, pairs of bins are merged, so that counts stay exact.

    Attributes:
        minimum: Minimum of the values so far; infinity if there are none.
        maximum: Maximum of the values so far; minus infinity if there are none.
    """

    def __init__(self) -> None:
        self.minimum = math.inf
        self.maximum = -math.inf
        self._exponent = 0
        self._first = 0
        self._counts: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count the values of an array.

        Raises:
            ValueError: A value is not finite.
        """
        if not values.size:
            return
        minimum, maximum = float(values.min()), float(values.max())
        if not math.isfinite(minimum + maximum):
            msg = "it has values that are not finite"
            raise ValueError(msg)
        empty = not self._counts.size
        self.minimum, self.maximum = min(self.minimum, minimum), max(self.maximum, maximum)
        if empty:
            self._exponent = _exponent(self.minimum, self.maximum)
        while self._index(self.maximum) - self._index(self.minimum) >= BINS:
            self._widen()
        first, last = self._index(self.minimum), self._index(self.maximum)
        if empty:
            self._first, self._counts = first, np.zeros(last - first + 1, np.int64)
        before, after = self._first - first, last - (self._first + len(self._counts) - 1)
        self._counts = np.pad(self._counts, (before, after))
        self._first = first
        bins = np.floor(values.ravel() * 2.0**-self._exponent).astype(np.int64) - first
        self._counts += np.bincount(bins, minlength=len(self._counts))

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of values in each bin."""
        return self._counts

    @property
    def width(self) -> float:
        """Width of a bin."""
        return float(2.0**self._exponent)

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """Center of each bin."""
        middles = np.arange(len(self._counts), dtype=np.float64) + (self._first + 0.5)
        return middles * self.width

    def _index(self, value: float) -> int:
        return math.floor(value * 2.0**-self._exponent)

    def _widen(self) -> None:
        odd_start, self._exponent = self._first % 2, self._exponent + 1
        if self._counts.size:
            odd_end = (len(self._counts) + odd_start) % 2
            counts = np.pad(self._counts, (odd_start, odd_end))
            self._counts = counts.reshape(-1, 2).sum(1)
        self._first //= 2


def _exponent(minimum: float, maximum: float) -> int:
    """Return the base-2 exponent of the smallest bin width for which a range fits into the bins."""
    span = max(maximum - minimum, abs(maximum), abs(minimum), 1e-30)
    return math.ceil(math.log2(span / BINS))
