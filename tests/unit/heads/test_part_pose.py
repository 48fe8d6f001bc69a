from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.heads import PartPoseHead
from furiosa_models.heads.part_pose import decode_part_pose
from furiosa_models.spec import as_context
from tests.platforms import BOTH

CHANNELS = (17, 34, 32, 32)
PLACE = as_context({"scale": 0.5, "pad": (0.0, 0.0)})
EDGES = [
    *[(0, 1), (1, 3), (0, 2), (2, 4), (0, 5), (5, 7), (7, 9), (5, 11), (11, 13), (13, 15)],
    *[(0, 6), (6, 8), (8, 10), (6, 12), (12, 14), (14, 16)],
]


def empty(images: int = 1, height: int = 30, width: int = 40) -> list[np.ndarray]:
    maps = [np.zeros((images, channels, height, width), np.float32) for channels in CHANNELS]
    maps[0][:] = -20
    return maps


def joints_at(left: float, top: float) -> np.ndarray:
    """Return places of 17 joints, x and y, at least 40 pixels apart."""
    number = np.arange(17)
    return np.stack((left + 48 * (number % 4), top + 48 * (number // 4)), axis=1)


def add_person(maps: list[np.ndarray], joints: np.ndarray, logit: float, root: int = 0) -> None:
    """Add a person to the first image; the logit of the root is greater by 1."""
    heat, offset, forward, backward = (value[0] for value in maps)
    cells = np.floor(joints / 16 + 0.5).astype(int)
    for k, ((x, y), (column, row)) in enumerate(zip(joints, cells, strict=True)):
        heat[k, row, column] = logit + (k == root)
        offset[[k, 17 + k], row, column] = y - 16 * row, x - 16 * column
    for edge, (a, b) in enumerate(EDGES):
        for values, start, end in ((forward, a, b), (backward, b, a)):
            column, row = cells[start]
            step = joints[end] - joints[start]
            values[[edge, 16 + edge], row, column] = step[1], step[0]


def chance(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


@BOTH
@pytest.mark.parametrize("root", [0, 9, 16])
def test_a_person_is_followed_from_any_joint(root: int, platform: Platform) -> None:
    maps, joints = empty(), joints_at(100, 60) + 3.25
    add_person(maps, joints, 2.0, root)
    ((people, scores),) = decode_part_pose(maps)
    np.testing.assert_allclose(people[0, :, :2], joints)
    expected = np.where(np.arange(17) == root, chance(3), chance(2))
    np.testing.assert_allclose(people[0, :, 2], expected, rtol=1e-6)
    np.testing.assert_allclose(scores, [expected.mean()], rtol=1e-6)
    (found,) = PartPoseHead().decode(maps, [PLACE], (), platform)
    np.testing.assert_allclose(found.keypoints[0, :, :2], joints * 2)
    corners = [*joints.min(0), *joints.max(0)]
    np.testing.assert_allclose(found.boxes, [np.array(corners) * 2])


def test_people_are_ordered_by_score_and_limited() -> None:
    maps = empty(2)
    add_person(maps, joints_at(20, 20), 1.0)
    add_person(maps, joints_at(300, 200), 3.0)
    (found, nobody) = decode_part_pose(maps)
    np.testing.assert_allclose(found[0][:, 0, :2], [[300, 200], [20, 20]])
    assert len(nobody[0]) == 0
    assert nobody[0].shape == (0, 17, 3)
    ((one, _), _) = decode_part_pose(maps, max_detections=1)
    np.testing.assert_allclose(one[:, 0, :2], [[300, 200]])
    # Roots below the threshold are no people.
    assert len(decode_part_pose(maps, root_threshold=0.9)[0][0]) == 1
    head = PartPoseHead()
    for threshold, count in ((0.0, 2), (0.9, 1), (0.97, 0)):
        (people, _) = head.decode(
            maps, [PLACE, PLACE], (), Platform.RUST, score_threshold=threshold
        )
        assert len(people) == count


def test_joints_near_those_of_a_better_person_count_once() -> None:
    maps = empty()
    first = joints_at(100, 60)
    add_person(maps, first, 3.0)
    second = joints_at(420, 300)
    second[5:] = first[5:]  # it leads to the joints of the first person
    add_person(maps, second, 1.0)
    # The displacements from shared joints are those of the second person, whose nose is no root.
    ((people, scores),) = decode_part_pose(maps)
    assert len(people) == 2
    np.testing.assert_allclose(people[1, 5:, :2], first[5:])
    np.testing.assert_allclose(scores[1], (4 * chance(1) + chance(2)) / 17, rtol=1e-6)
    same = decode_part_pose(maps, radius=1000)
    assert len(same[0][0]) == 1


@BOTH
def test_people_who_overlap_are_suppressed_if_wanted(platform: Platform) -> None:
    maps = empty()
    add_person(maps, joints_at(100, 60), 3.0)
    add_person(maps, joints_at(132, 92), 1.0)
    head = PartPoseHead(score_threshold=0.0)
    for limit, count in ((1.0, 2), (0.2, 1)):
        (found,) = head.decode(maps, [PLACE], (), platform, iou_threshold=limit)
        assert len(found) == count


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("stride", 0, ValueError),
        ("stride", 16.5, TypeError),
        ("max_detections", -1, ValueError),
        ("max_detections", None, TypeError),
        ("score_threshold", 2, ValueError),
        ("iou_threshold", -1, ValueError),
        ("root_threshold", 2, ValueError),
        ("keypoint_threshold", -0.1, ValueError),
        ("keypoint_threshold", "0.2", TypeError),
        ("radius", -1, ValueError),
        ("radius", np.nan, ValueError),
        ("radius", "20", ValueError),
    ],
)
def test_wrong_numbers_of_the_head(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} must"):
        PartPoseHead(**{name: value})


def test_wrong_maps_and_damaged_ones() -> None:
    head = PartPoseHead()
    with pytest.raises(ShapeError, match="expected 4 outputs"):
        head.decode(empty()[:3], [PLACE], (), Platform.RUST)
    with pytest.raises(ShapeError, match="offset must have shape"):
        head.decode([empty()[0]] * 4, [PLACE], (), Platform.RUST)
    with pytest.raises(ValueError, match="iou_threshold"):
        head.decode(empty(), [PLACE], (), Platform.RUST, iou_threshold=-1)
    maps: list[Any] = empty()
    add_person(maps, joints_at(100, 60), 3.0)
    for value in (np.nan, np.inf, -np.inf):
        for damaged in maps[1:]:
            damaged[:] = value
        ((people, _),) = decode_part_pose(maps)
        assert people.shape[1:] == (17, 3)
    maps[0][:] = np.nan
    assert len(decode_part_pose(maps)[0][0]) == 0
