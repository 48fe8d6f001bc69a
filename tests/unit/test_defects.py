"""Defects of furiosa-models 0.10 that this package must not have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image

from furiosa_models import get_model, list_models
from furiosa_models.cli import cli
from furiosa_models.errors import ShapeError
from furiosa_models.heads import ClassificationHead, PoseHead, SSDHead, YOLOv5Head
from furiosa_models.ops.boxes import box_iou
from furiosa_models.spec import ImageContext
from furiosa_models.tasks import Poses
from furiosa_models.types import Platform
from furiosa_models.vision import SSDMobileNet, SSDResNet34
from furiosa_models.vision.postprocess import LtrbBoundingBox, xyxytocxcywh, xyxytoxywh

from ..platforms import BOTH

Floats = npt.NDArray[np.float32]

NAMES = tuple("abcdefghij")
PHOTO = ImageContext(640, 640)
RESNET34 = SSDResNet34.spec.head


def yolov5_outputs(seed: int, images: int, mean: float = 0.2) -> list[Floats]:
    """Make maps of probabilities of ten classes."""
    rng = np.random.default_rng(seed)
    shapes = ((images, 45, side, side) for side in (80, 40, 20))
    return [rng.beta(1, 1 / mean, shape).astype(np.float32) for shape in shapes]


def resnet34_outputs(seed: int, *, background: float) -> list[Floats]:
    """Make maps of logits."""
    rng = np.random.default_rng(seed)
    levels = ((50, 4), (25, 6), (13, 6), (7, 6), (3, 4), (3, 4))

    def normal(channels: int, side: int) -> Floats:
        return rng.normal(0, 1, (1, channels, side, side)).astype(np.float32)

    outputs = [normal(81 * anchors, side) for side, anchors in levels]
    for output, (_, anchors) in zip(outputs, levels, strict=True):
        output[:, :anchors] += background
    return outputs + [normal(4 * anchors, side) for side, anchors in levels]


@BOTH
def test_1_yolov5_decodes_batches(platform: Platform) -> None:
    """0.10: in Python, a batch of two could not be reshaped."""
    found = YOLOv5Head().decode(yolov5_outputs(0, 2), [PHOTO] * 2, NAMES, platform)
    assert len(found) == 2
    assert all(len(detections) > 0 for detections in found)


@BOTH
def test_2_yolov5_applies_the_sigmoid_on_request(platform: Platform) -> None:
    """0.10: in Rust, `with_sigmoid=True` was a TypeError."""
    maps = yolov5_outputs(0, 1)
    logits = [np.log(m / (1 - m)) for m in maps]
    (asked,) = YOLOv5Head().decode(logits, [PHOTO], NAMES, platform, with_sigmoid=True)
    (inside,) = YOLOv5Head().decode(maps, [PHOTO], NAMES, platform)
    np.testing.assert_allclose(asked.scores, inside.scores, rtol=1e-5)


@BOTH
def test_3_images_of_a_batch_are_independent(platform: Platform) -> None:
    """0.10: in Rust, rows were counted per batch: no result after a crowded image."""
    crowded, usual = yolov5_outputs(1, 1, mean=0.9), yolov5_outputs(2, 1)
    head = YOLOv5Head()
    (alone,) = head.decode(usual, [PHOTO], NAMES, platform)
    pairs = list(zip(crowded, usual, strict=True))
    for order in (slice(None), slice(None, None, -1)):
        batch = [np.concatenate(pair[order]) for pair in pairs]
        one, other = head.decode(batch, [PHOTO] * 2, NAMES, platform)[order]
        assert len(one) == 300
        assert other == alone
        assert len(alone) > 0


@BOTH
def test_4_ssd_resnet34_gives_an_empty_result(platform: Platform) -> None:
    """0.10: in Python, an empty result was a ValueError of torch.cat."""
    outputs = resnet34_outputs(0, background=30)
    (found,) = RESNET34.decode(outputs, [PHOTO], NAMES, platform)
    assert found.to_dict() == []


@BOTH
def test_4_scores_are_floats_best_first(platform: Platform) -> None:
    """0.10: in Python, scores were tensors in ascending order."""
    outputs = resnet34_outputs(0, background=8)
    (found,) = RESNET34.decode(outputs, [PHOTO], NAMES, platform)
    scores = [item.score for item in found]
    assert len(scores) > 1
    assert all(type(score) is float for score in scores)
    assert scores == sorted(scores, reverse=True)


@BOTH
def test_4_disjoint_boxes_do_not_overlap(platform: Platform) -> None:
    """0.10: in Python, boxes that are apart in both directions had an IoU of -1.14."""
    boxes = np.array([[0, 0, 1, 1], [3, 3, 4, 4]], np.float32)
    assert box_iou(boxes, boxes, platform=platform).tolist() == [[1, 0], [0, 1]]


@BOTH
@pytest.mark.parametrize(
    ("head", "count"),
    [(SSDHead((19, 10, 5, 3, 2, 1)), 12), (RESNET34, 12), (YOLOv5Head(), 3), (PoseHead(), 8)],
)
@pytest.mark.parametrize("output", [np.zeros((1, 7, 3, 2), np.float32), np.zeros((1, 45, 80, 80))])
def test_5_wrong_outputs_raise_shape_error(
    platform: Platform, head: Any, count: int, output: npt.NDArray[Any]
) -> None:
    """0.10: in Rust, a wrong shape was a panic that `except Exception` does not catch."""
    with pytest.raises(ShapeError, match="must"):
        head.decode([output] * count, [PHOTO], NAMES, platform)


@BOTH
@pytest.mark.parametrize("name", ["score_threshold", "confidence_threshold", "conf_thres"])
def test_6_thresholds_mean_the_same_in_every_model(platform: Platform, name: str) -> None:
    """0.10: in Rust, SSD had no threshold; its name differed between models."""
    outputs = []
    for side, anchors in ((19, 3), (10, 6), (5, 6), (3, 6), (2, 6), (1, 6)):
        outputs.append(np.full((1, anchors * 91, side, side), -9, np.float32))
        outputs.append(np.zeros((1, anchors * 4, side, side), np.float32))
    outputs[-2][0, 1] = 0  # a score of 0.5
    model = SSDMobileNet(postprocessor_type=platform)
    (found,) = model.postprocess(outputs, [PHOTO], **{name: 0.5})
    assert len(found) == 1
    (found,) = model.postprocess(outputs, [PHOTO], **{name: 0.51})
    assert len(found) == 0


def test_7_height_is_bottom_minus_top() -> None:
    """0.10: the height was bottom plus top."""
    box = LtrbBoundingBox(10, 20, 30, 60)
    assert xyxytoxywh(box).height == xyxytocxcywh(box).height == 40


@BOTH
def test_8_class_0_of_resnet50_is_not_the_last_label(platform: Platform) -> None:
    """0.10: index 0, the background, silently became the last label."""
    head = ClassificationHead(activation="argmax", offset=1)
    with pytest.raises(ShapeError, match=r"class index \[0\] is outside the table of 10 labels"):
        head.decode([np.array([0])], [], NAMES, platform, top_k=1)
    assert head.decode([np.array([10])], [], NAMES, platform, top_k=1) == ["j"]


@BOTH
def test_8_classification_has_scores_and_top_k(platform: Platform) -> None:
    """0.10: the result was only a label."""
    logits = np.arange(10, dtype=np.float32)[None]
    (found,) = ClassificationHead().decode([logits], [], NAMES, platform, top_k=3)
    assert [item.label for item in found.top] == ["j", "i", "h"]
    assert 0.6 < found.score < 0.7


@BOTH
@pytest.mark.parametrize("form", ["path", "array"])
def test_9_single_photo_is_accepted(platform: Platform, form: str, tmp_path: Path) -> None:
    """0.10: a Path was a TypeError, and an array was read row by row."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    photo = tmp_path / "photo.png" if form == "path" else pixels
    tensor, contexts = SSDMobileNet(postprocessor_type=platform).preprocess(photo)
    assert tensor.shape == (1, 3, 300, 300)
    assert [(c.width, c.height) for c in contexts] == [(64, 48)]


def test_visualize_shows_keypoints_at_multiples_of_640() -> None:
    """0.10: keypoints whose x or y is a multiple of 640 (such as 0) were hidden."""
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 0] = [640, 100, 1]
    keypoints[0, 1] = [30, 0, 1]
    photo = np.zeros((200, 800, 3), np.uint8)
    box = np.array([[790, 190, 799, 199]], np.float32)
    people = Poses(box, np.ones(1, np.float32), keypoints)
    picture = np.asarray(people.plot(photo))
    assert picture[100, 640].any()
    assert picture[0, 30].any()


def test_10_dumping_a_model_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(tmp_path / "cache"))
    model = SSDMobileNet()
    assert json.loads(model.model_dump_json())["name"] == "MLCommonsSSDMobileNet"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("arguments", [["list", "-t", "detect"], ["list", "detect"], ["--version"]])
def test_11_command_line_options_work_as_documented(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == 0


def test_13_preprocess_gives_the_declared_input() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    for name in list_models():
        model = get_model(name, weights="random")
        tensor, _ = model.preprocess(photo)
        assert tensor.shape == (1, 3, *model.input.size)
        assert tensor.dtype == np.uint8
        assert tensor.flags.c_contiguous


def test_14_vision_does_not_need_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from furiosa_models.vision import *"
    subprocess.run([sys.executable, "-c", code], check=True)
