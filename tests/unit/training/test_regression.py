"""Multinomial logistic regression: at its solution, the gradient of the objective is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.training.regression import PENALTIES, Classifier, fit, folds_of, select

Array = npt.NDArray[Any]


def clusters(
    rows: int, width: int, classes: int, *, spread: float = 1.5, seed: int = 0
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return overlapping clusters of rows, with features of very different scales."""
    random = np.random.default_rng(seed)
    ids = np.arange(rows) % classes
    centers = random.normal(size=(classes, width))
    features = centers[ids] + spread * random.normal(size=(rows, width))
    return (features * np.logspace(-2, 2, width) + 5).astype(np.float32), ids


def gradient(
    found: Classifier, features: Array, ids: npt.NDArray[np.int64], penalty: float
) -> tuple[Array, Array]:
    """Return the gradient of mean cross-entropy and penalty, for kernel and bias.

    It is computed here for standardized features, from the kernel for the original ones.
    """
    mean, scale = features.mean(0, np.float64), features.std(0, np.float64)
    rows, kernel = (features - mean) / scale, found.kernel * scale
    logits = rows @ kernel.T + found.bias + found.kernel @ mean
    powers = np.exp(logits - logits.max(1, keepdims=True))
    wrong = powers / powers.sum(1, keepdims=True) - np.eye(logits.shape[1])[ids]
    return wrong.T @ rows / len(rows) + penalty * kernel, wrong.mean(0)


@pytest.mark.parametrize("penalty", [1e-3, 1e-2, 1.0, 10.0])
@pytest.mark.parametrize(("rows", "width"), [(200, 5), (30, 100), (40, 40)])
def test_the_gradient_of_the_solution_is_zero(rows: int, width: int, penalty: float) -> None:
    features, ids = clusters(rows, width, 3)
    found = fit(features, ids, 3, penalty)
    for part in gradient(found, features, ids, penalty):
        assert float(np.abs(part).max()) < 1e-3
    zero = Classifier(np.zeros_like(found.kernel), np.zeros_like(found.bias))
    assert float(np.abs(gradient(zero, features, ids, penalty)[0]).max()) > 0.05


def test_no_neighbor_of_the_solution_is_better() -> None:
    features, ids = clusters(60, 4, 3)
    penalty = 0.05
    mean, scale = features.mean(0, np.float64), features.std(0, np.float64)

    def objective(found: Classifier) -> float:
        logits = found.logits(features)
        logits = logits - logits.max(1, keepdims=True)
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(ids)), ids]
        return float(losses.mean() + penalty / 2 * ((found.kernel * scale) ** 2).sum())

    found = fit(features, ids, 3, penalty)
    random, best = np.random.default_rng(0), objective(found)
    for size in (0.3, 0.03):
        for _ in range(50):
            change = size * random.normal(size=found.kernel.shape) / scale
            moved = Classifier(found.kernel + change, found.bias - change @ mean)
            assert objective(moved) > best


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_the_scale_of_features_does_not_matter(factor: float) -> None:
    features, ids = clusters(80, 6, 3)
    one, other = (fit(each, ids, 3, 0.01) for each in (features, features * np.float32(factor)))
    np.testing.assert_allclose(
        one.logits(features), other.logits(features * np.float32(factor)), atol=0.02
    )


def test_features_that_do_not_vary_are_harmless() -> None:
    features, ids = clusters(40, 4, 2)
    features[:, 1] = 7.0
    found = fit(features, ids, 2, 1e-3)
    assert np.isfinite(found.kernel).all()
    assert (found.predict(features) == ids).mean() > 0.7


def test_classes_without_rows_are_never_predicted() -> None:
    features, ids = clusters(40, 4, 2)
    found = fit(features, ids * 2, 4, 1e-2)  # classes 1 and 3 have no row
    assert {*found.predict(features).tolist()} == {0, 2}
    assert np.isfinite(found.kernel).all()
    assert np.isfinite(found.bias).all()


def test_separable_rows_are_separated() -> None:
    features, ids = clusters(60, 8, 3, spread=0.02)
    chosen = select(features, ids, 3, [*range(60)])
    assert (chosen.predicted == ids).all()


def test_noise_gets_a_strong_penalty() -> None:
    random = np.random.default_rng(0)
    features, ids = random.normal(size=(60, 40)), np.arange(60) % 2
    chosen = select(features, ids, 2, [*range(60)])
    assert chosen.penalty >= 0.1
    assert chosen.penalty in PENALTIES
    assert chosen.losses[chosen.penalty] == min(chosen.losses.values())


def test_predictions_are_those_of_classifiers_that_have_not_seen_the_rows() -> None:
    features, ids = clusters(45, 4, 3)
    groups = [*range(45)]
    chosen = select(features, ids, 3, groups, folds=3)
    folds = folds_of(ids, groups, 3)
    for fold in range(3):
        out = folds == fold
        found = fit(features[~out], ids[~out], 3, chosen.penalty)
        same = found.predict(features[out]) == chosen.predicted[out]
        assert same.mean() > 0.9  # the search starts elsewhere, so that ties may differ


def test_every_fit_is_reported() -> None:
    features, ids = clusters(45, 4, 3)
    calls: list[None] = []
    chosen = select(features, ids, 3, [*range(45)], folds=3, done=lambda: calls.append(None))
    assert len(calls) == 3 * len(chosen.losses)


@pytest.mark.parametrize("rows", [2, 3])
def test_very_few_rows_are_fitted(rows: int) -> None:
    features, ids = clusters(rows, 5, 2)
    chosen = select(features, ids, 2, [*range(rows)])
    found = fit(features, ids, 2, chosen.penalty)
    assert np.isfinite(found.kernel).all()
    assert np.isfinite(found.bias).all()


@given(
    ids=st.lists(st.integers(0, 3), min_size=2, max_size=60),
    folds=st.integers(2, 6),
    data=st.data(),
)
def test_folds_keep_groups_together(ids: list[int], folds: int, data: st.DataObject) -> None:
    size = len(ids)
    groups = data.draw(st.lists(st.integers(0, size - 1), min_size=size, max_size=size))
    found = folds_of(np.array(ids), groups, folds)
    assert found.shape == (size,)
    assert found.min() >= 0
    assert found.max() < max(2, min(folds, len({*groups})))
    for group in {*groups}:
        assert len({int(f) for f, g in zip(found, groups, strict=True) if g == group}) == 1


@given(counts=st.lists(st.integers(1, 20), min_size=1, max_size=5), folds=st.integers(2, 5))
def test_folds_spread_every_class_evenly(counts: list[int], folds: int) -> None:
    ids = np.repeat(np.arange(len(counts)), counts)
    size = len(ids)
    if size < 2:
        return
    found = folds_of(ids, [*range(size)], folds)
    used = max(2, min(folds, size))
    for class_id, count in enumerate(counts):
        shares = np.bincount(found[ids == class_id], minlength=used)
        assert shares.sum() == count
        assert shares.max() - shares.min() <= 1
