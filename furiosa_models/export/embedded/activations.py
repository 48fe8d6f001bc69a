"""Scores from logits in a graph, with the results of `ops.scores`: in float64, rounded once."""

from __future__ import annotations

import numpy as np

from ...ops.scores import SLACK
from .values import Value

__all__ = ["logit_below", "sigmoid", "softmax"]


def sigmoid(logits: Value) -> Value:
    """Return the logistic function."""
    return (1.0 / ((-logits.cast(np.float64)).exp() + 1.0)).cast(np.float32)


def softmax(logits: Value, axis: int) -> Value:
    """Return the softmax along an axis."""
    exact = logits.cast(np.float64)
    powers = (exact - exact.max(axis)).exp()
    return (powers / powers.sum(axis)).cast(np.float32)


def logit_below(probability: Value) -> Value:
    """Return the logit of a slightly lower probability; see `ops.scores.prefilter_logit`."""
    lowered = (probability.cast(np.float64) * (1.0 - SLACK)).at_least(0.0)
    return (lowered / (1.0 - lowered)).log().cast(np.float32)
