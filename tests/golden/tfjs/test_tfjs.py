"""Networks with the weights of TensorFlow.js packages compute what TensorFlow.js computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.enums import Platform
from furiosa_models.heads.center_pose import decode_center_pose
from furiosa_models.heads.part_pose import decode_part_pose
from furiosa_models.heads.single_pose import decode_single_pose
from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import MoveNetMultiPose, MoveNetThunder, NanoDetG, PoseNet
from tests.platforms import BOTH

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("use_warm_cache"),
]

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
PHOTO = Path(__file__).parents[3] / "examples" / "images" / "astronaut.png"


POSENET: dict[str, Any] = json.loads(Path(__file__).with_name("posenet.json").read_text())


def outputs(model: Any, photo: Any = PHOTO) -> list[np.ndarray]:
    tensor, _ = model.preprocess(photo)
    with create_runner(model, device="cpu") as runner:
        return [np.asarray(output) for output in runner.run(tensor)]


@BOTH
def test_movenet_finds_the_same_people_and_joints(platform: Platform) -> None:
    (golden,) = GOLDEN["models"]["MoveNetMultiPose"]["outputs"]
    rows = np.array(golden["values"], np.float32).reshape(6, 56)
    rows = rows[np.argsort(-rows[:, 55], kind="stable")]
    (people,) = decode_center_pose(outputs(MoveNetMultiPose()), platform=platform)
    side = 64  # cells of the grid; the values are fractions
    np.testing.assert_allclose(people.scores, rows[:, 55], atol=1e-4)
    boxes = np.clip(people.boxes / side, 0, 1)[:, [1, 0, 3, 2]]
    np.testing.assert_allclose(boxes, rows[:, 51:55], atol=1e-4)
    joints = rows[:, :51].reshape(6, 17, 3)
    sure = people.scores > 0.1
    assert sure.any()
    np.testing.assert_allclose(
        people.keypoints[sure][..., [1, 0]] / side, joints[sure][..., :2], atol=1e-4
    )
    np.testing.assert_allclose(people.keypoints[sure][..., 2], joints[sure][..., 2], atol=1e-4)


def test_movenet_thunder_finds_the_same_joints() -> None:
    (golden,) = GOLDEN["models"]["MoveNetThunder"]["outputs"]
    rows = np.array(golden["values"], np.float32).reshape(17, 3)
    (joints,) = decode_single_pose(outputs(MoveNetThunder()))
    np.testing.assert_allclose(joints[:, [1, 0]] / 64, rows[:, :2], atol=1e-4)
    np.testing.assert_allclose(joints[:, 2], rows[:, 2], atol=1e-4)


def test_posenet_finds_the_same_people_and_joints() -> None:
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    pair = np.concatenate([photo, photo[:, ::-1]], axis=1)
    model = PoseNet()
    ((joints, scores),) = decode_part_pose(outputs(model, pair))
    people = POSENET["people"]
    np.testing.assert_allclose(scores, [each["score"] for each in people], atol=1e-4)
    expected = np.array([each["joints"] for each in people])
    np.testing.assert_allclose(joints[..., 2], expected[..., 2], atol=1e-4)
    np.testing.assert_allclose(joints[..., :2], expected[..., :2], atol=5e-3)  # pixels


def test_nanodet_gives_the_same_scores_and_sides() -> None:
    found = outputs(NanoDetG())
    for output, golden in zip(found, GOLDEN["models"]["NanoDetG"]["outputs"], strict=True):
        assert list(output.shape) == golden["shape"]
        places = [k * GOLDEN["index_factor"] % output.size for k in range(1, 17)]
        np.testing.assert_allclose(output.ravel()[places], golden["values"], atol=1e-4)
        rms = np.sqrt(np.mean(np.square(output, dtype=np.float64)))
        np.testing.assert_allclose(rms, golden["rms"], rtol=1e-5)
