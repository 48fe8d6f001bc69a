"""Scores from logits, and prefilter thresholds for logits.

Decoders compare logits before they compute scores. This prefilter uses a slightly lower threshold,
and the exact float32 scores are compared afterward, so the result equals computing every score.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["SLACK", "min_score", "prefilter_logit", "prefilter_score", "sigmoid", "softmax"]

Floats: TypeAlias = npt.NDArray[np.float32]

SLACK = 1.0 / 65536.0
"""Relative amount by which the prefilter's threshold is lower."""


def min_score(threshold: float, *, strict: bool) -> np.float32:
    """Return the smallest float32 score that passes a threshold.

    Args:
        threshold: In 0..1; converted to float32, like the networks' scores.
        strict: Whether scores must exceed the threshold (`>`) rather than reach it (`>=`).
    """
    smallest = np.float32(threshold)
    above: np.float32 = np.nextafter(smallest, np.float32(np.inf))
    return above if strict else smallest


def prefilter_score(probability: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a slightly lower probability, in float64."""
    lowered: npt.NDArray[np.float64] = np.asarray(probability, np.float64) * (1.0 - SLACK)
    return lowered


def prefilter_logit(probability: npt.ArrayLike) -> Floats:
    """Return the logit of a slightly lower probability; -inf if it is not positive."""
    lowered = np.maximum(prefilter_score(probability), 0.0)
    with np.errstate(all="ignore"):
        logits: Floats = np.log(lowered / (1.0 - lowered)).astype(np.float32)
    return logits


def sigmoid(logits: Floats) -> Floats:
    """Return the logistic function, computed in float64 and rounded to float32 once."""
    with np.errstate(over="ignore"):
        scores: Floats = (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    return scores


def softmax(logits: Floats) -> Floats:
    """Return the softmax of rows `(..., c)`, computed in float64 and rounded to float32 once."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=-1, keepdims=True, initial=-np.inf))
    scores: Floats = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return scores
