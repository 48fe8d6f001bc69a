"""Methods to choose the range of a tensor for 8-bit quantization."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from .histogram import Histogram

__all__ = ["CalibrationMethod", "choose_range"]

LEVELS = 256
_SHARES = np.linspace(1.0, 0.2, 81)
_Range = tuple[float, float]


class CalibrationMethod(IntEnum):
    """Method to choose a tensor's range from its observed values.

    `ASYM` ranges are [a, b], `SYM` ranges [-b, b]. `MIN_MAX` keeps all values, `PERCENTILE` cuts
    off a fraction of them at the ends. `ENTROPY` minimizes the Kullback-Leibler divergence of the
    distributions. `MSE` minimizes the mean squared error, and thus maximizes the signal-to-noise
    ratio (`SQNR`).
    """

    MIN_MAX_ASYM = 0
    MIN_MAX_SYM = 1
    ENTROPY_ASYM = 2
    ENTROPY_SYM = 3
    PERCENTILE_ASYM = 4
    PERCENTILE_SYM = 5
    MSE_ASYM = 6
    MSE_SYM = 7
    SQNR_ASYM = 8
    SQNR_SYM = 9

    @property
    def is_symmetric(self) -> bool:
        """Whether the ranges are [-b, b]."""
        return self.name.endswith("_SYM")

    @property
    def kind(self) -> str:
        """Name without the symmetry, such as `PERCENTILE`."""
        return self.name.rpartition("_")[0]


def choose_range(histogram: Histogram, method: CalibrationMethod, percentage: float) -> _Range:
    """Return the range (minimum, maximum) of a tensor; it contains 0, as 8-bit tensors require.

    Args:
        histogram: Observed values.
        method: Method to choose the range.
        percentage: Percentage of the values that `PERCENTILE` keeps, in (0, 100].
    """
    whole = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    if method.is_symmetric:
        whole = -max(map(abs, whole)), max(map(abs, whole))
    if whole[0] == whole[1] or method.kind == "MIN_MAX":
        return whole
    if method.kind == "PERCENTILE":
        return _percentile(histogram, whole, percentage, symmetric=method.is_symmetric)
    loss = _divergence if method.kind == "ENTROPY" else _squared_error
    return _minimize_loss(lambda r: loss(histogram, r), whole, symmetric=method.is_symmetric)


def _percentile(
    histogram: Histogram, whole: _Range, percentage: float, *, symmetric: bool
) -> _Range:
    values, counts = histogram.centers, histogram.counts
    if symmetric:
        order = np.argsort(np.abs(values))
        values, counts = np.abs(values)[order], counts[order]
    shares = np.cumsum(counts) / counts.sum()
    cut = (1 - percentage / 100) * (1.0 if symmetric else 0.5)
    low, high = (
        float(values[min(int(np.searchsorted(shares, share)), len(values) - 1)])
        for share in (cut, 1 - cut)
    )
    low = -high if symmetric else low
    return max(whole[0], min(low, 0.0)), min(whole[1], max(high, 0.0))


def _minimize_loss(loss: Callable[[_Range], float], whole: _Range, *, symmetric: bool) -> _Range:
    """Return the range with the minimum loss: search its upper end first, then its lower end."""
    low, high = whole
    if symmetric:
        return min(((share * low, share * high) for share in _SHARES), key=loss)
    if high > 0:
        low, high = min(((low, share * high) for share in _SHARES), key=loss)
    if low < 0:
        low, high = min(((share * low, high) for share in _SHARES), key=loss)
    return low, high


def _squared_error(histogram: Histogram, candidate: _Range) -> float:
    values = histogram.centers
    scale = (candidate[1] - candidate[0]) / (LEVELS - 1)
    steps = np.clip(
        np.round(values / scale), round(candidate[0] / scale), round(candidate[1] / scale)
    )
    return float(histogram.counts @ (values - steps * scale) ** 2)


def _divergence(histogram: Histogram, candidate: _Range) -> float:
    """Return the Kullback-Leibler divergence between the original and the 8-bit distribution."""
    inside = (histogram.centers >= candidate[0]) & (histogram.centers <= candidate[1])
    # Ignore zeros: they are exact in 8 bits, and so frequent that they would dominate.
    counts = np.where(np.abs(histogram.centers) <= histogram.width, 0, histogram.counts)
    kept = counts[inside].astype(np.float64)
    if np.count_nonzero(kept) < 2:
        return float("inf")
    reference = kept.copy()
    first = int(np.argmax(inside))
    reference[0] += counts[:first].sum()
    reference[-1] += counts[first + len(kept) :].sum()
    coarse = _coarse(kept, histogram.centers[inside], candidate)
    present = reference > 0
    if np.any(coarse[present] == 0):
        coarse = coarse + 1e-9 * kept.sum()
    p, q = reference / reference.sum(), coarse / coarse.sum()
    return float(np.sum(p[present] * np.log(p[present] / q[present])))


def _coarse(
    counts: npt.NDArray[np.float64], values: npt.NDArray[np.float64], candidate: _Range
) -> npt.NDArray[np.float64]:
    """Return the counts after spreading those of each level evenly over its nonempty bins."""
    scale = (candidate[1] - candidate[0]) / (LEVELS - 1)
    level = np.round((values - candidate[0]) / scale).astype(np.int64)
    total = np.bincount(level, counts, LEVELS + 1)
    occupied = np.bincount(level, counts > 0, LEVELS + 1)
    return np.where(counts > 0, total[level] / np.maximum(occupied[level], 1), 0.0)
