"""Heads of classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...enums import Platform
from ...errors import ShapeError
from ..classification import Activation, top_k
from ..results import Classification
from .base import Outputs, check_count

__all__ = ["ClassificationHead"]


@dataclass(frozen=True, slots=True)
class ClassificationHead:
    """Top-k of a distribution over classes.

    Attributes:
        activation: What turns outputs into probabilities: `softmax`, or `none` where the graph
            has done it, or `argmax` where the graph gives a class index.
        offset: Index of the first class in the table of labels; checkpoints with a background
            class in front have 1 (MLPerf's ResNet50). What is in front is never a result.
        argmax_offset: The offset of graphs of this model that end in an argmax.
    """

    activation: Activation = "softmax"
    offset: int = 0
    argmax_offset: int = 0

    def observed(self, done: frozenset[str]) -> dict[str, Any]:
        """Fields that a graph decides which ends in the operations `done`."""
        if "ArgMax" in done:
            return {"activation": "argmax", "offset": self.argmax_offset}
        return {"activation": "none"} if "Softmax" in done else {}

    def decode(
        self, outputs: Outputs, names: Sequence[str], platform: Platform, *, k: int
    ) -> list[Classification]:
        """Classes of each photo of a batch.

        Args:
            outputs: One output: (n, c) float32, or (n,) integers of an `argmax` graph.
            names: Table of labels.
            platform: Python (numpy) or Rust; the results are the same.
            k: Number of classes to keep.

        Raises:
            ShapeError: Outputs of the wrong count, shape or dtype, or a class outside the table.
        """
        check_count(outputs, 1)
        batch = top_k(outputs[0], k, activation=self.activation, platform=platform)
        return [self._named(found.class_ids, found.scores, names) for found in batch]

    def _named(
        self,
        indices: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        names: Sequence[str],
    ) -> Classification:
        class_ids = indices - self.offset
        known = (class_ids >= 0) & (class_ids < len(names))
        if not known.any():
            msg = f"class index {indices.tolist()} is outside the table of {len(names)} labels"
            raise ShapeError(msg)
        class_ids = class_ids[known]
        return Classification(class_ids, scores[known], [names[i] for i in class_ids.tolist()])
