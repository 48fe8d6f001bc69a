from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.heads.classification import ClassificationHead, rank_classes
from furiosa_models.types import Platform

from ...platforms import BOTH

NAN, INF = float("nan"), float("inf")


@BOTH
@pytest.mark.parametrize(
    ("row", "ids", "scores"),
    [
        ([0, 0, 0, 0], [0, 1, 2], [0.25, 0.25, 0.25]),
        ([0, np.log(3), 0, -INF], [1, 0, 2], [0.6, 0.2, 0.2]),
        ([1000, 1000, -1000, 0], [0, 1, 3], [0.5, 0.5, 0]),
        ([NAN, 0, NAN, 0], [1, 3, 0], [0.5, 0.5, NAN]),
        ([INF, 5, INF, 0], [0, 2, 1], [0.5, 0.5, 0]),
        ([-INF, -INF, -INF, -INF], [0, 1, 2], [0.25, 0.25, 0.25]),
        ([NAN, NAN, NAN, NAN], [0, 1, 2], [NAN, NAN, NAN]),
    ],
)
def test_softmax_ranks_classes(
    platform: Platform, row: list[float], ids: list[int], scores: list[float]
) -> None:
    best = rank_classes(np.array([row, row], np.float32), 3, platform=platform)
    assert len(best) == 2
    for got in best:
        assert got.class_ids.dtype == np.dtype(np.int64)
        assert got.scores.dtype == np.dtype(np.float32)
        assert got.class_ids.tolist() == ids
        np.testing.assert_allclose(got.scores, np.array(scores, np.float32), rtol=1e-7)


@BOTH
def test_scores_are_passed_through(platform: Platform) -> None:
    outputs = np.array([[0.1, NAN, 0.7, 0.1, -0.0, 0.0]], np.float32)
    (best,) = rank_classes(outputs, 99, activation="none", platform=platform)
    assert best.class_ids.tolist() == [2, 0, 3, 4, 5, 1]
    np.testing.assert_array_equal(best.scores, outputs[0, best.class_ids])


@BOTH
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_argmax_in_the_graph_has_no_score(platform: Platform, shape: tuple[int, ...]) -> None:
    outputs = np.array([7, 0, 1000], np.int32).reshape(shape)
    best = rank_classes(outputs, 5, activation="argmax", platform=platform)
    assert [got.class_ids.tolist() for got in best] == [[7], [0], [1000]]
    assert all(np.isnan(got.scores).all() and got.scores.shape == (1,) for got in best)


@BOTH
@pytest.mark.parametrize(
    ("outputs", "activation"),
    [
        (np.zeros((1, 5)), "softmax"),
        (np.zeros(5, np.float32), "none"),
        ([[0.0, 1.0]], "softmax"),
        (np.zeros((1, 5), np.int64), "argmax"),
        (np.zeros(1, np.float32), "argmax"),
        ([3], "argmax"),
    ],
)
def test_wrong_outputs_are_rejected(platform: Platform, outputs: Any, activation: Any) -> None:
    with pytest.raises(ShapeError, match=r"outputs .*must be"):
        rank_classes(outputs, 1, activation=activation, platform=platform)


@BOTH
def test_invalid_arguments_are_rejected(platform: Platform) -> None:
    outputs = np.zeros((1, 5), np.float32)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        rank_classes(outputs, 0, platform=platform)
    with pytest.raises(ValueError, match="activation must be one of softmax, none, argmax"):
        rank_classes(outputs, 1, activation="sigmoid", platform=platform)  # type: ignore[arg-type]


@BOTH
def test_k_larger_than_the_number_of_classes(platform: Platform) -> None:
    (found,) = rank_classes(np.zeros((1, 5), np.float32), 10**30, platform=platform)
    assert found.class_ids.tolist() == [0, 1, 2, 3, 4]


@BOTH
def test_error_uses_the_argument_name_of_predict(platform: Platform) -> None:
    outputs = [np.zeros((1, 2), np.float32)]
    with pytest.raises(ValueError, match="^top_k must be at least 1, got 0$"):
        ClassificationHead().decode(outputs, [], ["tench", "goldfish"], platform, top_k=0)


@BOTH
def test_no_images(platform: Platform) -> None:
    assert rank_classes(np.zeros((0, 5), np.float32), platform=platform) == []
