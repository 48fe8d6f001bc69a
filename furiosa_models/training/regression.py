"""Multinomial logistic regression, with the regularization chosen by cross-validation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Classifier", "Selection", "fit", "folds_of", "select"]

Floats: TypeAlias = npt.NDArray[np.float64]
Classes: TypeAlias = npt.NDArray[np.int64]

PENALTIES = tuple(10.0**power for power in range(-6, 2))
"""Candidates of the weight of the penalty, in units of the mean cross-entropy."""

_ITERATIONS = 200
_MEMORY = 10
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Classifier:
    """A linear classifier.

    Attributes:
        kernel: (classes, features) float64.
        bias: (classes,) float64.
    """

    kernel: Floats
    bias: Floats

    def logits(self, features: npt.NDArray[np.floating]) -> Floats:
        """Return the logits (n, classes) of features (n, features)."""
        found: Floats = features @ self.kernel.T + self.bias
        return found

    def predict(self, features: npt.NDArray[np.floating]) -> Classes:
        """Return the best class of each row."""
        best: Classes = self.logits(features).argmax(1)
        return best


@dataclass(frozen=True)
class Selection:
    """Result of a cross-validation.

    Attributes:
        penalty: The best penalty.
        predicted: Class of each row as predicted by a classifier that has not seen it.
        losses: Mean cross-entropy of rows that were left out, for each penalty.
    """

    penalty: float
    predicted: Classes
    losses: dict[float, float]


def fit(
    features: npt.NDArray[np.floating], classes: Classes, count: int, penalty: float
) -> Classifier:
    """Return the classifier with the least mean cross-entropy plus penalty.

    The penalty is `penalty / 2` times the sum of squares of the kernel for standardized features
    (mean 0, deviation 1), so that it does not depend on their scales.

    Args:
        features: (n, features).
        classes: (n,) class of each row.
        count: Number of classes.
        penalty: Weight of the penalty.
    """
    problem = _Problem.of(features, classes, count)
    return problem.classifier(problem.solve(penalty))


@dataclass(frozen=True)
class _Problem:
    """Standardized features and classes.

    If there are fewer rows than features, the features are rotated to as many as there are rows:
    the best kernel lies in the space of the rows, and rotations keep the penalty.

    Attributes:
        rows: (n, k + 1) standardized and rotated features, and a column of ones.
        targets: (n, classes) 1 for the class of a row, else 0.
        mean: (features,) mean of each feature.
        scale: (features,) deviation of each feature.
        axes: (k, features) rotation, or None.
    """

    rows: Floats
    targets: Floats
    mean: Floats
    scale: Floats
    axes: Floats | None

    @classmethod
    def of(cls, features: npt.NDArray[np.floating], classes: Classes, count: int) -> _Problem:
        """Return the problem of some features."""
        mean, scale = features.mean(0, np.float64), features.std(0, np.float64)
        scale = np.where(scale > 1e-12, scale, 1.0)
        rows, axes = (features - mean) / scale, None
        if rows.shape[0] < rows.shape[1]:
            left, values, axes = np.linalg.svd(rows, full_matrices=False)
            rows = left * values
        rows = np.concatenate([rows, np.ones((len(rows), 1))], 1)
        return cls(rows, np.eye(count)[classes], mean, scale, axes)

    def solve(self, penalty: float, start: Floats | None = None) -> Floats:
        """Return the best weights (classes, k + 1), by L-BFGS (Liu and Nocedal 1989).

        The variables are scaled by the expected curvature. Otherwise, a strong penalty of the
        kernel, and none of the bias, would make the problem ill-conditioned.
        """
        rows, targets = self.rows, self.targets
        shape = targets.shape[1], rows.shape[1]
        part = np.clip(targets.mean(0), 1 / len(rows), 1 - 1 / len(rows))
        curvature = np.repeat((part * (1 - part))[:, None], shape[1], 1)
        curvature[:, :-1] = curvature[:, :-1] * (rows[:, :-1] ** 2).mean(0) + penalty
        scales = 1 / np.sqrt(np.maximum(curvature, 1e-9))

        def objective(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(shape) * scales
            logits = rows @ weights.T
            logits -= logits.max(1, keepdims=True)
            powers = np.exp(logits)
            totals = powers.sum(1, keepdims=True)
            loss = float((np.log(totals)[:, 0] - (logits * targets).sum(1)).mean())
            gradient = (powers / totals - targets).T @ rows / len(rows)
            loss += 0.5 * penalty * float((weights[:, :-1] ** 2).sum())
            gradient[:, :-1] += penalty * weights[:, :-1]
            return loss, (gradient * scales).ravel()

        first = np.zeros(shape) if start is None else start / scales
        found: Floats = _minimize(objective, first.ravel()).reshape(shape) * scales
        return found

    def classifier(self, weights: Floats) -> Classifier:
        """Return weights as a classifier of features as they were."""
        kernel = weights[:, :-1] if self.axes is None else weights[:, :-1] @ self.axes
        kernel = kernel / self.scale
        return Classifier(kernel, weights[:, -1] - kernel @ self.mean)


def select(
    features: npt.NDArray[np.floating],
    classes: Classes,
    count: int,
    groups: Sequence[object],
    *,
    folds: int = 5,
    done: Callable[[], object] = lambda: None,
) -> Selection:
    """Return the penalty with the least cross-entropy of rows that were left out.

    Args:
        features: (n, features).
        classes: (n,) class of each row.
        count: Number of classes.
        groups: Group of each row, such as its photo; a group is left out as a whole.
        folds: Number of parts, each of which is left out once.
        done: Called after each fit.
    """
    parts = folds_of(classes, groups, folds)
    outs = [parts == part for part in range(int(parts.max()) + 1)]
    problems = [_Problem.of(features[~out], classes[~out], count) for out in outs]
    starts: list[Floats | None] = [None] * len(outs)
    losses: dict[float, float] = {}
    best, predicted = PENALTIES[-1], np.zeros(len(classes), np.int64)
    for penalty in reversed(PENALTIES):  # the strongest first: the next one starts from it
        loss, found = 0.0, np.zeros(len(classes), np.int64)
        for index, (out, problem) in enumerate(zip(outs, problems, strict=True)):
            weights = problem.solve(penalty, starts[index])
            starts[index] = weights
            logits = problem.classifier(weights).logits(features[out])
            found[out] = logits.argmax(1)
            logits -= logits.max(1, keepdims=True)
            total = np.log(np.exp(logits).sum(1))
            own = logits[np.arange(len(logits)), classes[out]]
            loss += float((total - own).sum()) / len(classes)
            done()
        losses[penalty] = loss
        if loss <= min(losses.values()):
            best, predicted = penalty, found
        elif penalty < best / 50:  # weaker ones only fit the noise better
            break
    return Selection(best, predicted, losses)


def folds_of(classes: Classes, groups: Sequence[object], folds: int) -> Classes:
    """Return the fold of each row; groups stay together, and classes are spread evenly.

    Groups are dealt out in turn, the largest first, each to the fold that has the fewest rows of
    its classes.
    """
    names = list(dict.fromkeys(groups))
    numbers = {name: index for index, name in enumerate(names)}
    of_row = np.array([numbers[group] for group in groups])
    counts = np.zeros((len(names), int(classes.max()) + 1), np.int64)
    np.add.at(counts, (of_row, classes), 1)
    folds = max(2, min(folds, len(names)))
    taken = np.zeros((folds, counts.shape[1]))
    fold_of_group = np.zeros(len(names), np.int64)
    for group in np.argsort(-counts.sum(1), kind="stable"):
        rows = counts[group]
        crowding = (taken * (rows > 0) / np.maximum(counts.sum(0), 1)).sum(1)
        fold = int(np.lexsort((taken.sum(1), crowding))[0])
        fold_of_group[group] = fold
        taken[fold] += rows
    folds_of_rows: Classes = fold_of_group[of_row]
    return folds_of_rows


def _minimize(objective: Callable[[Floats], tuple[float, Floats]], x: Floats) -> Floats:
    """Return the minimum of a smooth convex function, by L-BFGS with backtracking."""
    value, gradient = objective(x)
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=_MEMORY)
    for _ in range(_ITERATIONS):
        if np.abs(gradient).max() <= _TOLERANCE:
            break
        direction = -_inverse_hessian_times(gradient, pairs)
        slope = float(direction @ gradient)
        if slope >= 0:  # rounding errors: start again with the steepest descent
            pairs.clear()
            direction, slope = -gradient, -float(gradient @ gradient)
        step = 1.0 if pairs else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        while True:
            moved = x + step * direction
            new_value, new_gradient = objective(moved)
            if new_value <= value + 1e-4 * step * slope:
                break
            step *= 0.5
            if step < 1e-12:
                return x
        change, bend = moved - x, new_gradient - gradient
        product = float(change @ bend)
        if product > 1e-12:
            pairs.append((change, bend, 1.0 / product))
        x, value, gradient = moved, new_value, new_gradient
    return x


def _inverse_hessian_times(gradient: Floats, pairs: deque[tuple[Floats, Floats, float]]) -> Floats:
    """Return the product of the approximate inverse Hessian and a gradient."""
    result: Floats = gradient.copy()
    factors = []
    for change, bend, inverse in reversed(pairs):
        factor = inverse * float(change @ result)
        factors.append(factor)
        result -= factor * bend
    if pairs:
        change, bend, _ = pairs[-1]
        result *= float(change @ bend) / float(bend @ bend)
    for (change, bend, inverse), factor in zip(pairs, reversed(factors), strict=True):
        result += (factor - inverse * float(bend @ result)) * change
    return result
