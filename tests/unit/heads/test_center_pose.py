from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.heads import CenterPoseHead
from furiosa_models.heads.center_pose import decode_center_pose
from furiosa_models.spec import as_context
from tests.platforms import BOTH

CHANNELS = (1, 2, 2, 17, 34, 34)
PLACE = as_context({"scale": 0.5, "pad": (0.0, 0.0)})


def empty(images: int = 1, height: int = 16, width: int = 12) -> list[np.ndarray]:
    return [np.zeros((images, channels, height, width), np.float32) for channels in CHANNELS]


def add_person(
    maps: list[np.ndarray], row: int, column: int, score: float, *, image: int = 0
) -> None:
    """Add a person 8 cells high and 6 wide, with joint k at (row + k % 4 - 2, column + 1)."""
    center, scale, offset, heat, guess, shift = (value[image] for value in maps)
    center[0, row, column] = score
    scale[:, row, column] = 8, 6
    offset[:, row, column] = 0.25, 0.5
    for k in range(17):
        y, x = row + k % 4 - 2, column + 1
        guess[2 * k : 2 * k + 2, row, column] = k % 4 - 2, 1
        heat[k, y, x] = 0.8
        shift[2 * k : 2 * k + 2, y, x] = 0.5, 0.25


@BOTH
def test_a_person_by_hand(platform: Platform) -> None:
    maps = empty()
    add_person(maps, 8, 5, 0.9)
    (people,) = decode_center_pose(maps, platform=platform)
    np.testing.assert_allclose(people.scores, [0.72], rtol=1e-6)
    np.testing.assert_allclose(people.boxes, [[2.5, 4.25, 8.5, 12.25]])
    joints = [[6.25, 8.5 + k % 4 - 2, 0.8] for k in range(17)]
    np.testing.assert_allclose(people.keypoints, [joints], rtol=1e-6)
    head = CenterPoseHead()
    (found,) = head.decode(maps, [PLACE], (), platform)
    np.testing.assert_allclose(found.boxes, people.boxes * 8)  # 4 pixels a cell, half the photo
    np.testing.assert_allclose(found.keypoints[0, 0], [50, 52, 0.8], rtol=1e-6)
    assert found[:1].keypoint_threshold == 0.2


@BOTH
def test_peaks_people_and_images(platform: Platform) -> None:
    maps = empty(2, 24, 24)
    add_person(maps, 8, 5, 0.5)
    add_person(maps, 10, 16, 0.9)
    maps[0][0, 0, 9, 6] = 0.4  # beside a higher one
    maps[0][0, 0, 20, 20] = 0.01  # a peak without sure joints
    add_person(maps, 12, 12, 0.7, image=1)
    first, second = decode_center_pose(maps, platform=platform)
    np.testing.assert_allclose(first.scores, [0.72, 0.4, 0], rtol=1e-6)
    np.testing.assert_allclose(second.scores, [0.56], rtol=1e-6)
    (one, _) = decode_center_pose(maps, max_detections=1, platform=platform)
    np.testing.assert_allclose(one.boxes, first.boxes[:1])
    found = CenterPoseHead().decode(maps, [PLACE, PLACE], (), platform, score_threshold=0.5)
    assert [len(people) for people in found] == [1, 1]


@BOTH
def test_a_joint_is_near_its_expected_place_and_inside_the_box(platform: Platform) -> None:
    maps = empty(1, 24, 24)
    add_person(maps, 12, 12, 0.9)
    maps[3][0, 0, 12, 14] = 0.85  # brighter, but farther from where joint 0 is expected
    maps[3][0, 1, 2, 2] = 1.0  # outside of the box
    (people,) = decode_center_pose(maps, platform=platform)
    np.testing.assert_allclose(people.keypoints[0, :2, :2], [[13.25, 10.5], [13.25, 11.5]])


@BOTH
def test_people_who_overlap(platform: Platform) -> None:
    maps = empty(1, 24, 24)
    add_person(maps, 12, 10, 0.9)
    add_person(maps, 12, 13, 0.8)
    head = CenterPoseHead(score_threshold=0.1)
    for threshold, expected in ((None, 2), (0.2, 1), (0.5, 2)):
        (found,) = head.decode(maps, [PLACE], (), platform, iou_threshold=threshold)
        assert len(found) == expected


def some_maps(seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    count, height, width = random.integers(1, 12, 3)
    maps = [
        random.uniform(-3, 6, (count, channels, height, width)).astype(np.float32)
        for channels in CHANNELS
    ]
    for index in (0, 3):
        maps[index] = random.random(maps[index].shape, np.float32)
    return maps


@given(st.integers(0, 2**32 - 1), st.integers(0, 8))
def test_implementations_agree(seed: int, limit: int) -> None:
    maps = some_maps(seed)
    rust, python = (
        decode_center_pose(maps, max_detections=limit, platform=platform)
        for platform in (Platform.RUST, Platform.PYTHON)
    )
    for one, other in zip(rust, python, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@BOTH
@given(seed=st.integers(0, 2**32 - 1))
def test_any_values_are_survived(platform: Platform, seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(0, 7, 2)
    maps = [
        random.integers(0, 2**32, (2, channels, height, width), np.uint32).view(np.float32)
        for channels in CHANNELS
    ]
    CenterPoseHead(score_threshold=0).decode(maps, [PLACE, PLACE], (), platform)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("stride", 0, ValueError),
        ("max_detections", -1, ValueError),
        ("max_detections", 6.5, TypeError),
        ("score_threshold", 2, ValueError),
        ("iou_threshold", -1, ValueError),
        ("keypoint_threshold", "0.2", TypeError),
    ],
)
def test_wrong_numbers_of_the_head(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} must"):
        CenterPoseHead(**{name: value})


@BOTH
def test_wrong_maps(platform: Platform) -> None:
    head = CenterPoseHead()
    with pytest.raises(ShapeError, match="6"):
        head.decode(empty()[:5], [PLACE], (), platform)
    maps = empty()
    maps[3] = maps[3][:, :16]
    with pytest.raises(ShapeError, match="keypoint_heat must have shape"):
        head.decode(maps, [PLACE], (), platform)
    with pytest.raises(ShapeError, match="contexts"):
        head.decode(empty(2), [PLACE], (), platform)
    with pytest.raises(ValueError, match="iou_threshold"):
        head.decode(empty(), [PLACE], (), platform, iou_threshold=2.0)
