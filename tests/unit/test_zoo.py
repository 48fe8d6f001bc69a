"""Features of individual models."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from furiosa_models.errors import ArtifactNotFound
from furiosa_models.runtime.sync import create_runner
from furiosa_models.tasks import Poses
from furiosa_models.vision import ResNet50, YOLOv5m, YOLOv5n, YOLOv7w6Pose


@pytest.fixture(scope="module")
def yolo() -> YOLOv5n:
    return YOLOv5n(weights="random")


def test_yolov5_accepts_classes_and_anchors(yolo: YOLOv5n, photos: list[Path]) -> None:
    tensor, contexts = yolo.preprocess(photos[0])
    with create_runner(yolo, device="cpu") as runner:
        outputs = runner.run(tensor)
    names = [f"class {i}" for i in range(80)]
    anchors = np.full((3, 3, 2), 2.0)
    plain = yolo.postprocess(outputs, contexts, 0.5)[0]
    renamed = YOLOv5n(weights="random", classes=names).postprocess(outputs, contexts, 0.5)[0]
    assert renamed.labels == [f"class {i}" for i in plain.class_ids]
    moved = YOLOv5n(weights="random", anchors=anchors.tolist())
    sizes = moved.postprocess(outputs, contexts, 0.5)[0].boxes
    assert len(plain) > 0
    assert sizes.shape != plain.boxes.shape or not np.allclose(sizes, plain.boxes)
    copy = pickle.loads(pickle.dumps(YOLOv5n(weights="random", classes=names)))
    assert copy.postprocess(outputs, contexts, 0.5)[0] == renamed


def test_yolov5_applies_the_sigmoid_on_request(yolo: YOLOv5n, photos: list[Path]) -> None:
    tensor, contexts = yolo.preprocess(photos[0])
    with create_runner(yolo, device="cpu") as runner:
        outputs = runner.run(tensor)  # the graph includes the sigmoid, like the published one
    logits = [np.log(out) - np.log1p(-out) for out in outputs]
    inside = yolo.postprocess(outputs, contexts, 0.5, 0.45)[0]
    outside = yolo.postprocess(logits, contexts, 0.5, 0.45, True)[0]
    assert len(inside) == len(outside) > 0
    np.testing.assert_allclose(inside.boxes, outside.boxes, atol=0.05)
    by_name = yolo.postprocess(logits, contexts, conf_thres=0.5, iou_thres=0.45, with_sigmoid=True)
    assert by_name[0] == outside


def test_yolov5_has_the_classes_of_bdd100k_by_default() -> None:
    assert YOLOv5m(weights="random").labels[1] == "rider"


def test_model_without_weights_gives_advice() -> None:
    with pytest.raises(ArtifactNotFound, match="no weights of YOLOv5n: pass your own file"):
        _ = YOLOv5n().origin


def test_postprocess_works_before_weights_are_fetched() -> None:
    outputs = [np.array([282])]
    assert ResNet50().postprocess(outputs).class_id == 281


def test_poses_are_drawn_in_place_as_in_0_10() -> None:
    model = YOLOv7w6Pose(weights="random")
    keypoints = np.tile(np.array([[[20.0, 20.0, 0.9]]], np.float32), (1, 17, 1))
    keypoints[0, :, 0] += np.arange(17) * 3
    poses = Poses(np.array([[5, 5, 80, 60]], np.float32), np.array([0.9], np.float32), keypoints)
    image = np.zeros((100, 100, 3), np.uint8)
    assert model.visualize(image, poses) is None
    assert image.any()
