"""Decoder of classifiers in a graph, as `heads.classification`."""

from __future__ import annotations

import numpy as np

from ...heads.classification import ClassificationHead
from .outputs import Scene
from .values import Value

__all__ = ["decode_classes"]


def decode_classes(scene: Scene, head: ClassificationHead) -> dict[str, Value]:
    """Return `scores` and `classes`, `(k,)`, best first."""
    output = scene.outputs[0].value.reshape(-1)
    if head.activation == "argmax":
        indices = output.cast(np.int64)
        scores = indices.cast(np.float32) * np.nan
    else:
        is_number = output == output
        indices = is_number.where(output, -np.inf).order(scene.options["top_k"])
        probabilities = _softmax(output, is_number) if head.activation == "softmax" else output
        scores = probabilities.take(indices)
    classes = indices - head.offset
    known = ((classes >= 0) & (classes < scene.classes)).found()
    return {"scores": scores.take(known), "classes": classes.take(known)}


def _softmax(logits: Value, is_number: Value) -> Value:
    """Return the softmax; NaN stays NaN and counts for nothing, and infinite logits share it."""
    exact = is_number.where(logits, -np.inf).cast(np.float64)
    top = exact.max(0)
    ones = (exact == top).cast(np.float64)
    powers = (exact == top).where(ones, (exact - top).exp())
    total = is_number.where(powers, 0.0).sum(0)
    return is_number.where((powers / total).cast(np.float32), np.nan)
