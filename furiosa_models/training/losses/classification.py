"""Loss of classifiers: cross-entropy with label smoothing (Szegedy et al. 2015, arXiv:1512.00567).

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConfigurationError, LabelsError, ShapeError
from ...heads.classification import ClassificationHead
from ...ops.checks import check_unit
from ..targets import Target, Tensor
from .common import as_log_probabilities, check_batch, check_class_ids

__all__ = ["ClassificationLoss"]


@dataclass(frozen=True, slots=True)
class ClassificationLoss:
    """Cross-entropy of the classes of a batch, the mean over its images.

    If the graph ends in a softmax or sigmoid, the loss uses the logarithms of its results, which
    have no gradient below 1e-12.

    Attributes:
        head: Head of the network.
        label_smoothing: Part of the label that is spread over all classes, in 0..1.
        class_weights: Weight of each class, without a background; None for equal weights. The mean
            is weighted, too.

    Raises:
        ConfigurationError: The graph returns class indices, which have no gradient; or a weight is
            not a finite number above 0.
        ValueError: `label_smoothing` is not between 0 and 1.
    """

    head: ClassificationHead
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_unit("label_smoothing", self.label_smoothing)
        if self.head.activation == "argmax":
            msg = (
                "the graph ends in ArgMax, and class indices have no gradient: train the graph "
                "without it, whose outputs are logits"
            )
            raise ConfigurationError(msg)
        weights: Any = self.class_weights
        if weights is not None and not all(
            isinstance(weight, Real) and 0 < float(weight) < math.inf for weight in weights
        ):
            msg = f"class_weights must be finite numbers above 0, got {list(weights)}"
            raise ConfigurationError(msg)

    def __call__(
        self,
        outputs: Sequence[Tensor],
        targets: Sequence[Target],
        size: tuple[int, int],  # noqa: ARG002 - classes have no position
    ) -> dict[str, Tensor]:
        """Return `loss_class`; see `Loss`.

        Args:
            outputs: One output, (n, c) or (n, c, 1, 1), logits or probabilities, as the head says.
            targets: The class of each image, () int64.
            size: Not used.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id, or the number of weights, does not fit the network's classes.
        """
        check_batch(outputs, 1, targets)
        scores = _columns(outputs[0])
        offset = self.head.offset
        expected = _class_ids(targets, scores.shape[1] - offset).to(scores.device) + offset
        logits = scores if self.head.activation == "softmax" else as_log_probabilities(scores)
        loss = F.cross_entropy(
            logits, expected, self._weights(logits), label_smoothing=self.label_smoothing
        )
        return {"loss_class": loss}

    def _weights(self, logits: Tensor) -> Tensor | None:
        """Return a weight for each column of the logits; that of a background is 1."""
        if self.class_weights is None:
            return None
        classes = logits.shape[1] - self.head.offset
        if len(self.class_weights) != classes:
            msg = f"expected a weight for each of {classes} classes, got {len(self.class_weights)}"
            raise LabelsError(msg)
        return logits.new_tensor([1.0] * self.head.offset + [float(w) for w in self.class_weights])


def _columns(output: Tensor) -> Tensor:
    """Return an output as float32 scores (n, c).

    Raises:
        ShapeError: It is not the output of a classifier.
    """
    scores = output.flatten(start_dim=1) if output.ndim > 1 else output
    if scores.ndim != 2 or scores.shape[1] not in output.shape[1:]:
        msg = f"a classifier's output has shape (n, c) or (n, c, 1, 1), got {tuple(output.shape)}"
        raise ShapeError(msg)
    return scores.float()


def _class_ids(targets: Sequence[Target], classes: int) -> Tensor:
    """Return the class of each image, (n,) int64."""
    for target in targets:
        if target.class_ids.ndim:
            msg = (
                "a classifier's target has the class id of the image, with shape (), got "
                f"{tuple(target.class_ids.shape)}"
            )
            raise ShapeError(msg)
    class_ids = torch.stack([target.class_ids for target in targets]).long()
    check_class_ids(class_ids, classes)
    return class_ids
