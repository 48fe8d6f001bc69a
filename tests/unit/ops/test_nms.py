from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.ops.nms import batched_nms, nms
from furiosa_models.types import Platform

from ...platforms import BOTH

NAN, INF = float("nan"), float("inf")
# the second overlaps the first by 0.6, the third by a third; the last is alone
BOXES = np.array([[0, 0, 10, 4], [0, 0, 6, 4], [5, 0, 15, 4], [20, 0, 22, 2]], np.float32)


def scores(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


@BOTH
@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [
        ((0.9, 0.8, 0.7, 0.6), 0.5, [0, 2, 3]),
        ((0.9, 0.8, 0.7, 0.6), 0.6, [0, 1, 2, 3]),  # exactly at the threshold: kept
        ((0.9, 0.8, 0.7, 0.6), 0.3, [0, 3]),
        ((0.1, 0.8, 0.7, 0.9), 0.5, [3, 1, 2]),
        ((0.5, 0.5, 0.5, 0.5), 0.5, [0, 2, 3]),  # ties by index
        ((0.0, -0.0, 0.0, -0.0), 0.5, [0, 2, 3]),
        ((-1.0, -2.0, INF, -INF), 1.0, [2, 0, 1, 3]),
        ((0.9, NAN, NAN, 0.6), 0.5, [0, 3]),
        ((0.9, 0.8, 0.7, 0.6), 1.0, [0, 1, 2, 3]),
    ],
)
def test_nms(
    platform: Platform, values: tuple[float, ...], threshold: float, expected: list[int]
) -> None:
    kept = nms(BOXES, scores(*values), threshold, platform=platform)
    assert kept.dtype == np.int64
    assert kept.tolist() == expected


@BOTH
def test_classes_do_not_suppress_each_other(platform: Platform) -> None:
    classes = np.array([7, -3, 7, 7])
    kept = batched_nms(BOXES, scores(0.9, 0.8, 0.7, 0.6), classes, 0.3, platform=platform)
    assert kept.tolist() == [0, 1, 3]


@BOTH
@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [3, 1, 2, 0]),
        ({"max_detections": 3}, [3, 1, 2]),
        ({"max_candidates": 3}, [3, 1, 2]),
        ({"max_per_class": 2}, [3, 1, 2]),
        ({"max_per_class": 1}, [3, 1]),
        ({"max_per_class": 2, "max_detections": 2}, [3, 1]),
        ({"max_candidates": 2, "max_per_class": 1}, [3, 1]),
        ({"max_per_class": 0}, []),
        ({"max_detections": 0}, []),
        ({"max_candidates": 0}, []),
    ],
)
def test_limits_are_applied(
    platform: Platform, limits: dict[str, int], expected: list[int]
) -> None:
    classes = np.array([0, 1, 0, 0])
    values = scores(0.6, 0.8, 0.7, 0.9)
    kept = batched_nms(BOXES, values, classes, 0.9, platform=platform, **limits)
    assert kept.tolist() == expected


@BOTH
def test_candidates_are_limited_before_suppression(platform: Platform) -> None:
    """The first suppresses the second; the third does not take its place."""
    values, one = scores(0.9, 0.8, 0.7, 0.6), np.zeros(4, np.int64)
    for name in ("max_candidates", "max_per_class"):
        kept = batched_nms(BOXES, values, one, 0.5, platform=platform, **{name: 2})
        assert kept.tolist() == [0]
    assert batched_nms(BOXES, values, one, 0.5, platform=platform, max_detections=2).tolist() == [
        0,
        2,
    ]


@BOTH
@pytest.mark.parametrize("name", ["max_candidates", "max_per_class", "max_detections"])
def test_negative_limit_is_rejected(platform: Platform, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be None or at least 0, got -1"):
        batched_nms(
            BOXES, scores(1, 2, 3, 4), np.zeros(4, np.int64), 0.5, platform=platform, **{name: -1}
        )


@BOTH
def test_epsilon_keeps_tiny_boxes(platform: Platform) -> None:
    tiny, values, one = BOXES[:2] * np.float32(1e-4), scores(0.9, 0.8), np.zeros(2, np.int64)
    assert batched_nms(tiny, values, one, 0.5, platform=platform).tolist() == [0]
    kept = batched_nms(tiny, values, one, 0.5, epsilon=1e-5, platform=platform)
    assert kept.tolist() == [0, 1]


@BOTH
def test_boxes_that_are_not_finite_are_dropped(platform: Platform) -> None:
    broken = BOXES.copy()
    broken[0, 0], broken[2, 3] = NAN, INF
    assert nms(broken, scores(0.9, 0.8, 0.7, 0.6), 0.5, platform=platform).tolist() == [1, 3]


@BOTH
def test_nms_without_boxes(platform: Platform) -> None:
    empty = np.zeros((0, 4), np.float32)
    assert nms(empty, scores(), 0.5, platform=platform).shape == (0,)


@BOTH
@pytest.mark.parametrize("threshold", [-0.1, 1.1, NAN, INF])
def test_threshold_must_be_between_0_and_1(platform: Platform, threshold: float) -> None:
    with pytest.raises(ValueError, match="iou_threshold must lie between 0 and 1"):
        nms(BOXES, scores(1, 2, 3, 4), threshold, platform=platform)


@BOTH
def test_wrong_arrays_are_rejected(platform: Platform) -> None:
    with pytest.raises(ShapeError, match=r"scores must be a float32 array of shape \(4,\)"):
        nms(BOXES, scores(1, 2, 3), 0.5, platform=platform)
    with pytest.raises(ShapeError, match=r"class_ids must be a int64 array of shape \(4,\)"):
        batched_nms(BOXES, scores(1, 2, 3, 4), scores(1, 2, 3, 4), 0.5, platform=platform)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="boxes must be a float32 array"):
        nms([[0, 0, 1, 1]], scores(1), 0.5, platform=platform)  # type: ignore[arg-type]
