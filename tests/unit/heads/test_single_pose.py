from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.heads import SinglePoseHead
from furiosa_models.heads.single_pose import decode_single_pose
from furiosa_models.spec import as_context

CHANNELS = (1, 17, 34, 34)
PLACE = as_context({"scale": 0.5, "pad": (0.0, 0.0)})


def empty(images: int = 1, height: int = 16, width: int = 12) -> list[np.ndarray]:
    return [np.zeros((images, channels, height, width), np.float32) for channels in CHANNELS]


def add_person(maps: list[np.ndarray], row: int, column: int, score: float, heat: float) -> None:
    """Add a person with joint k at (row + k % 4 - 2, column + 1), to the first image."""
    center, heats, guess, shift = (value[0] for value in maps)
    center[0, row, column] = score
    for k in range(17):
        y, x = row + k % 4 - 2, column + 1
        guess[2 * k : 2 * k + 2, row, column] = k % 4 - 2, 1
        heats[k, y, x] = heat
        shift[2 * k : 2 * k + 2, y, x] = 0.5, 0.25


def test_a_person_by_hand() -> None:
    maps = empty()
    add_person(maps, 8, 5, 0.9, 0.8)
    (joints,) = decode_single_pose(maps)
    np.testing.assert_allclose(joints, [[6.25, 8.5 + k % 4 - 2, 0.8] for k in range(17)])
    (found,) = SinglePoseHead().decode(maps, [PLACE], (), Platform.RUST, iou_threshold=0.5)
    np.testing.assert_allclose(found.scores, [0.8])
    # 4 pixels a cell, half the photo
    np.testing.assert_allclose(found.boxes, [[50, 52, 50, 76]])
    np.testing.assert_allclose(found.keypoints[0, 0], [50, 52, 0.8], rtol=1e-6)
    assert found[:1].keypoint_threshold == 0.2


def test_the_person_in_the_middle_is_found() -> None:
    maps = empty(1, 24, 24)
    add_person(maps, 4, 3, 0.9, 0.9)
    add_person(maps, 13, 12, 0.5, 0.6)
    (joints,) = decode_single_pose(maps)
    np.testing.assert_allclose(joints[0], [13.25, 11.5, 0.6])
    # Higher scores of a joint far away from where the center expects it do not count.
    np.testing.assert_allclose(joints[:, 2], 0.6)
    maps[0][0, 0, 4, 3] = 5.0
    (joints,) = decode_single_pose(maps)
    np.testing.assert_allclose(joints[0], [4.25, 2.5, 0.9])


def test_only_sure_joints_count() -> None:
    maps = empty()
    add_person(maps, 8, 5, 0.9, 0.1)
    head = SinglePoseHead()
    (found,) = head.decode(maps, [PLACE], (), Platform.RUST, score_threshold=0.0)
    assert len(found) == 0
    maps[1][0, 2, 8, 6], maps[1][0, 7, 9, 6] = 0.7, 0.5
    (found,) = head.decode(maps, [PLACE], (), Platform.RUST)
    np.testing.assert_allclose(found.scores, [0.6])
    np.testing.assert_allclose(found.boxes, [[50, 68, 50, 76]])
    for threshold, count in ((0.59, 1), (0.61, 0)):
        (found,) = head.decode(maps, [PLACE], (), Platform.RUST, score_threshold=threshold)
        assert len(found) == count


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("stride", 0, ValueError),
        ("stride", 4.5, TypeError),
        ("score_threshold", 2, ValueError),
        ("keypoint_threshold", "0.2", TypeError),
    ],
)
def test_wrong_numbers_of_the_head(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} must"):
        SinglePoseHead(**{name: value})


def test_wrong_maps_and_thresholds() -> None:
    head = SinglePoseHead()
    with pytest.raises(ShapeError, match="expected 4 outputs"):
        head.decode(empty()[:3], [PLACE], (), Platform.RUST)
    with pytest.raises(ShapeError, match="keypoint_heat must have shape"):
        head.decode([empty()[0]] * 4, [PLACE], (), Platform.RUST)
    with pytest.raises(ShapeError, match="at least one cell"):
        head.decode(empty(height=0), [PLACE], (), Platform.RUST)
    with pytest.raises(ValueError, match="score_threshold"):
        head.decode(empty(), [PLACE], (), Platform.RUST, score_threshold=2)
    with pytest.raises(ValueError, match="iou_threshold"):
        head.decode(empty(), [PLACE], (), Platform.RUST, iou_threshold=-1)
    damaged = empty()
    damaged[0][:] = np.nan
    assert decode_single_pose(damaged).shape == (1, 17, 3)
