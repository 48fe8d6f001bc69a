from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.heads.pose import PoseArrays, decode_pose
from furiosa_models.types import Platform

from ...platforms import BOTH

NAN, INF = float("nan"), float("inf")
Floats = npt.NDArray[np.float32]
Maps = tuple[list[Floats], list[Floats]]
ANCHORS = np.array([[[1, 2], [4, 3]]], np.float32)


def split(numbers: Floats) -> Maps:
    """Return the maps that hold `(n, 2 anchors, 57, h, w)` numbers."""
    n, _, _, h, w = numbers.shape
    channels = numbers.reshape(n, 114, h, w)
    return [channels[:, :12]], [channels[:, 12:]]


@pytest.fixture
def numbers() -> Floats:
    """The outputs of one image with 2 x 3 cells and no person."""
    values = np.zeros((1, 2, 57, 2, 3), np.float32)
    values[:, :, 4] = -20
    return values


def find(numbers: Floats, platform: Platform, **options: Any) -> list[PoseArrays]:
    return decode_pose(*split(numbers), ANCHORS, (16,), platform=platform, **options)


@BOTH
def test_empty_outputs_give_no_person(numbers: Floats, platform: Platform) -> None:
    (found,) = find(numbers, platform)
    assert [column.shape for column in found] == [(0, 4), (0,), (0, 17, 3)]
    assert {column.dtype for column in found} == {np.dtype(np.float32)}


@BOTH
def test_boxes_and_keypoints_are_decoded(numbers: Floats, platform: Platform) -> None:
    numbers[0, 1, 4:6, 1, 2] = [0.0, 3.0]
    points = np.arange(51, dtype=np.float32) / 10
    numbers[0, 1, 6:, 1, 2] = points
    (found,) = find(numbers, platform)
    np.testing.assert_allclose(found.scores, [0.5 / (1 + np.exp(-3))], rtol=1e-6)
    # center (2.5, 1.5) * 16, size (4, 3) * 16
    np.testing.assert_allclose(found.boxes, [[8, 0, 72, 48]])
    x, y, confidence = points.reshape(17, 3).T
    expected = (x * 2 - 0.5 + 2) * 16, (y * 2 - 0.5 + 1) * 16, 1 / (1 + np.exp(-confidence))
    np.testing.assert_allclose(found.keypoints[0], np.column_stack(expected), rtol=1e-6)


@BOTH
def test_score_must_exceed_the_threshold(numbers: Floats, platform: Platform) -> None:
    numbers[0, 0, 4:6, 0, 0] = [0.0, 50.0]
    assert len(find(numbers, platform, score_threshold=0.5)[0].scores) == 0
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert find(numbers, platform, score_threshold=below)[0].scores.tolist() == [0.5]


@BOTH
def test_suppression_and_limit(numbers: Floats, platform: Platform) -> None:
    numbers[0, 1, 4, 0, :] = [3.0, 4.0, 5.0]  # wide boxes, a quarter of their width apart
    numbers[0, 0, 4, 1, 0] = 6.0
    (found,) = find(numbers, platform)
    assert np.all(np.diff(found.scores) < 0)
    assert found.boxes[:, 0].tolist() == [0.0, 8.0, -24.0]
    assert len(find(numbers, platform, iou_threshold=0.7)[0].scores) == 4
    assert find(numbers, platform, max_detections=1)[0].boxes[:, 0].tolist() == [0.0]


@BOTH
def test_keypoints_with_any_values_are_kept(numbers: Floats, platform: Platform) -> None:
    numbers[0, 0, 4, 0, 1] = 5.0
    numbers[0, 0, 6:12, 0, 1] = [-100, 500, -30, NAN, INF, 0]
    (found,) = find(numbers, platform)
    expected = [[(-200 + 0.5) * 16, (1000 - 0.5) * 16, 1 / (1 + np.exp(30))], [NAN, INF, 0.5]]
    np.testing.assert_allclose(found.keypoints[0, :2], expected, rtol=1e-6)


@BOTH
def test_non_finite_boxes_are_dropped(numbers: Floats, platform: Platform) -> None:
    numbers[0, 0, 4, 0, :] = [NAN, 5.0, 5.0]
    numbers[0, 0, 0, 0, 1] = NAN
    numbers[0, 0, 5, 0, 2] = NAN
    assert len(find(numbers, platform)[0].scores) == 0


@BOTH
def test_batch_equals_single_images(platform: Platform) -> None:
    batch = np.random.default_rng(0).normal(0, 2, (3, 2, 57, 2, 3)).astype(np.float32)
    for i, found in enumerate(find(batch, platform)):
        (alone,) = find(batch[i : i + 1], platform)
        assert len(found.scores) > 1
        for column, its_column in zip(found, alone, strict=True):
            np.testing.assert_array_equal(column, its_column)
    assert find(batch[:0], platform) == []


@BOTH
@pytest.mark.parametrize(
    ("box_shape", "keypoint_shape", "message"),
    [
        ((1, 12, 2, 3), (1, 102, 2), r"keypoint_maps\[0\] must be a float32 array"),
        ((1, 12, 2, 3), (2, 102, 2, 3), r"must have shapes \(1, 12, 'h', 'w'\)"),
        ((1, 12, 2, 3), (1, 102, 3, 2), r"must have shapes \(1, 12, 'h', 'w'\)"),
        ((1, 12, 2, 3), (1, 100, 2, 3), r"the 2 anchors of a cell, got"),
        ((1, 18, 2, 3), (1, 153, 2, 3), r"the 2 anchors of a cell, got"),
    ],
)
def test_wrong_maps_are_rejected(
    platform: Platform, box_shape: Any, keypoint_shape: Any, message: str
) -> None:
    maps = [np.zeros(box_shape, np.float32)], [np.zeros(keypoint_shape, np.float32)]
    with pytest.raises(ShapeError, match=message):
        decode_pose(*maps, ANCHORS, (16,), platform=platform)


@BOTH
def test_other_invalid_arguments_are_rejected(numbers: Floats, platform: Platform) -> None:
    with pytest.raises(ShapeError, match=r"anchors must be a float32 array of shape \(1, a, 2\)"):
        decode_pose(*split(numbers), ANCHORS[0], (16,), platform=platform)
    with pytest.raises(ValueError, match="score_threshold must lie between 0 and 1"):
        find(numbers, platform, score_threshold=-1)
    with pytest.raises(ValueError, match="max_detections must be None or at least 0"):
        find(numbers, platform, max_detections=-1)
