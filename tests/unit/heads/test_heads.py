from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.heads import ClassificationHead, PoseHead, SSDHead, YOLOv5Head
from furiosa_models.spec import ImageContext
from furiosa_models.tasks import Detections, Poses
from furiosa_models.types import Platform
from furiosa_models.vision import SSDResNet34

from ...platforms import BOTH

Floats = npt.NDArray[np.float32]

MOBILENET = SSDHead(feature_maps=(19, 10, 5, 3, 2, 1))
RESNET34 = SSDResNet34.spec.head
NAMES = ("background", "cat", "dog")
PHOTO = ImageContext(640, 480)
LETTERBOXED = ImageContext(1280, 960, scale=0.5, pad=(0.0, 80.0))


def mobilenet_outputs() -> list[Floats]:
    """Make outputs of a cat at the first default box of the last map."""
    outputs = []
    for side, anchors in ((19, 3), (10, 6), (5, 6), (3, 6), (2, 6), (1, 6)):
        outputs.append(np.full((1, anchors * 3, side, side), -9, np.float32))
        outputs.append(np.zeros((1, anchors * 4, side, side), np.float32))
    outputs[-2][0, 1] = 2.0
    return outputs


def resnet34_outputs() -> list[Floats]:
    """Make outputs of a dog at the first default box of the last map."""
    levels = ((50, 4), (25, 6), (13, 6), (7, 6), (3, 4), (3, 4))
    outputs = [np.zeros((1, 3 * anchors, side, side), np.float32) for side, anchors in levels]
    for (_, anchors), output in zip(levels, outputs, strict=True):
        output[:, :anchors] = 9
    outputs[-1][0, [0, 8], 0, 0] = [0, 5]
    return outputs + [np.zeros((1, 4 * a, side, side), np.float32) for side, a in levels]


def yolov5_outputs(*, logits: bool = False) -> list[Floats]:
    """Make outputs of a dog in cell (1, 1) of the coarsest map, with the size of its anchor."""
    maps = [np.full((1, 24, s, s), -20 if logits else 0, np.float32) for s in (80, 40, 20)]
    maps[2][0, :8, 1, 1] = [0, 0, 0, 0, 5, -9, -9, 5] if logits else [0.5] * 4 + [0.9, 0, 0, 0.9]
    return maps


def pose_outputs() -> list[Floats]:
    """Make outputs of a person in the second row and column of the finest map."""
    outputs = []
    for h, w in ((48, 80), (24, 40), (12, 20), (6, 10)):
        outputs += [np.full((1, 18, h, w), -20.0, np.float32), np.zeros((1, 153, h, w), np.float32)]
        outputs[-1][0, [43, 100]] = -20.0  # objectness of the second and third anchor
    outputs[0][0, :6, 1, 1] = [0, 0, 0, 0, 5, 5]
    return outputs


@BOTH
@pytest.mark.parametrize(
    ("head", "outputs", "label"),
    [(MOBILENET, mobilenet_outputs(), "cat"), (RESNET34, resnet34_outputs(), "dog")],
)
def test_ssd_decodes_a_detection(
    platform: Platform, head: SSDHead, outputs: list[Floats], label: str
) -> None:
    (found,) = head.decode(outputs, [PHOTO], NAMES, platform)
    assert isinstance(found, Detections)
    assert found.labels == [label]
    side = 0.95 if label == "cat" else 0.87
    x, y = (0.5, 0.5) if label == "cat" else (1 / 6, 1 / 6)
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    np.testing.assert_allclose(found.boxes[0], box * [640, 480, 640, 480], rtol=1e-5)


@BOTH
@pytest.mark.parametrize("logits", [False, True])
def test_yolov5_decodes_a_detection(platform: Platform, logits: bool) -> None:
    head = YOLOv5Head(sigmoid_inside=not logits)
    (found,) = head.decode(yolov5_outputs(logits=logits), [LETTERBOXED], NAMES, platform)
    assert isinstance(found, Detections)
    assert found.labels == ["dog"]
    # center (48, 48) and size (116, 90) in the input; half as much padding above, twice as large
    expected = [(48 - 58) * 2, (48 - 45 - 80) * 2, (48 + 58) * 2, (48 + 45 - 80) * 2]
    np.testing.assert_allclose(found.boxes, [expected])
    if not logits:  # 0.10 has a call argument for the sigmoid
        assert head.decode(yolov5_outputs(logits=True), [PHOTO], NAMES, platform, with_sigmoid=True)


@BOTH
def test_pose_decodes_a_person(platform: Platform) -> None:
    (found,) = PoseHead().decode(pose_outputs(), [LETTERBOXED], ("person",), platform)
    assert isinstance(found, Poses)
    assert found.keypoints.shape == (1, 17, 3)
    # center (12, 12), size (19, 27)
    expected = [(12 - 9.5) * 2, (12 - 13.5 - 80) * 2, (12 + 9.5) * 2, (12 + 13.5 - 80) * 2]
    np.testing.assert_allclose(found.boxes, [expected])
    np.testing.assert_allclose(found[0].left_hip.x, (0 * 2 - 0.5 + 1) * 8 * 2)
    np.testing.assert_allclose(found[0].left_hip.y, ((0 * 2 - 0.5 + 1) * 8 - 80) * 2)
    assert found[0].left_hip.confidence == 0.5


HEADS: list[tuple[Any, list[Floats]]] = [
    (MOBILENET, mobilenet_outputs()),
    (RESNET34, resnet34_outputs()),
    (YOLOv5Head(), yolov5_outputs()),
    (PoseHead(), pose_outputs()),
]


@BOTH
@pytest.mark.parametrize(("head", "outputs"), HEADS)
def test_thresholds_are_configurable(platform: Platform, head: Any, outputs: list[Floats]) -> None:
    (found,) = head.decode(outputs, [PHOTO], NAMES, platform, score_threshold=0.999)
    assert len(found) == 0
    (found,) = replace(head, score_threshold=0.999).decode(outputs, [PHOTO], NAMES, platform)
    assert len(found) == 0
    with pytest.raises(ValueError, match="iou_threshold must lie between 0 and 1"):
        head.decode(outputs, [PHOTO], NAMES, platform, iou_threshold=2)


@BOTH
@pytest.mark.parametrize(("head", "outputs"), HEADS)
def test_outputs_and_contexts_are_checked(
    platform: Platform, head: Any, outputs: list[Floats]
) -> None:
    count = len(outputs)
    with pytest.raises(ShapeError, match=f"expected {count} outputs, got {count - 1}"):
        head.decode(outputs[1:], [PHOTO], NAMES, platform)
    with pytest.raises(ShapeError, match="expected 1 contexts, one for each photo .* got 2"):
        head.decode(outputs, [PHOTO, PHOTO], NAMES, platform)
    with pytest.raises(ShapeError, match="must have shape"):
        head.decode(outputs[::-1], [PHOTO], NAMES, platform)


@BOTH
@pytest.mark.parametrize(("head", "outputs"), HEADS)
def test_batch_has_a_result_for_each_photo(
    platform: Platform, head: Any, outputs: list[Floats]
) -> None:
    batch = [np.concatenate((o, np.zeros_like(o), o)) for o in outputs]
    first, _, third = head.decode(batch, [PHOTO] * 3, NAMES, platform)
    (alone,) = head.decode(outputs, [PHOTO], NAMES, platform)
    assert first == third == alone


def test_anchors_can_be_any_numbers() -> None:
    head = YOLOv5Head(anchors=[[[1, 2]]], strides=(8,))  # type: ignore[arg-type]
    assert head.anchors.dtype == np.float32
    maps = [np.ones((1, 6, 2, 2), np.float32)]
    assert len(head.decode(maps, [PHOTO], NAMES, Platform.RUST)[0]) > 0


def test_offset_is_subtracted_from_argmax_classes() -> None:
    head = ClassificationHead(activation="argmax", offset=1)
    (found,) = head.decode([np.array([2])], [], ["tench", "goldfish"], Platform.RUST, top_k=5)
    assert found == "goldfish"
    assert found.class_id == 1
    assert not found.top[0].is_scored
    assert found.to_dict() == [{"label": "goldfish", "index": 1, "score": None}]
    for index in (0, 3, -1):
        with pytest.raises(ShapeError, match=rf"class index \[{index}\] is outside the table of 2"):
            head.decode([np.array([index])], [], ["tench", "goldfish"], Platform.RUST, top_k=5)


def test_background_class_is_not_a_result() -> None:
    head = ClassificationHead(offset=1)
    logits = np.array([[9.0, 1.0, 2.0]], np.float32)
    (found,) = head.decode([logits], [], ["tench", "goldfish"], Platform.RUST, top_k=5)
    assert found.labels == ["goldfish", "tench"]
    with pytest.raises(ShapeError, match="expected 1 output, got 2"):
        head.decode([logits, logits], [], ["tench"], Platform.RUST, top_k=5)
