from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from furiosa_models.data import read_dataset
from furiosa_models.errors import DatasetError, FuriosaModelsError
from furiosa_models.evaluation import evaluate
from furiosa_models.tasks import Detections, Poses
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet, YOLOv7w6Pose

from .data.made import BOXES, write_coco, write_photos, write_voc_labels, write_yolo_labels


@pytest.fixture(scope="module")
def classifier() -> EfficientNetLite0:
    return EfficientNetLite0(weights="random")


def test_classifier_accuracy_is_measured(
    classifier: EfficientNetLite0, photos: list[Path], tmp_path: Path
) -> None:
    results = classifier.predict(photos, top_k=5)
    truth = [results[0].class_id, int(results[1].class_ids[4]), -1, -1, results[4].class_id]
    rows = [f"{path.name},{index}" for path, index in zip(photos, truth, strict=True)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["file,class_index", *rows]))

    measured = evaluate(classifier, photos[0].parent, labels, device="cpu")

    assert measured.photos == 5
    assert measured.weights == "random"
    assert measured.figures == {"top-1": 2 / 5, "top-5": 3 / 5}


def coco(photos: list[Path], boxes: list[list[float]]) -> str:
    images = [{"id": i, "file_name": p.name} for i, p in enumerate(photos)]
    annotations = [
        {
            "id": i + 1,
            "image_id": i,
            "category_id": 40,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i, box in enumerate(boxes)
    ]
    categories = [{"id": 40, "name": "cat"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (100.0, 0.0)])
def test_detections_are_matched_by_class_name(
    monkeypatch: pytest.MonkeyPatch,
    photos: list[Path],
    tmp_path: Path,
    shift: float,
    expected: float,
) -> None:
    boxes = [[10.0, 20.0, 30.0, 40.0]] * 5
    labels = tmp_path / "instances.json"
    labels.write_text(coco(photos, boxes))
    found = Detections(
        np.array([[10 + shift, 20, 40 + shift, 60], [0, 0, 9, 9]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([1, 2]),
        ("background", "cat", "a class that COCO lacks"),
    )
    monkeypatch.setattr(SSDMobileNet, "predict", lambda *_, **__: iter([found] * 5))

    measured = evaluate(SSDMobileNet(weights="random"), photos[0].parent, labels)

    assert measured.figures == {"mAP": pytest.approx(expected), "mAP50": pytest.approx(expected)}


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (300.0, 0.0)])
def test_poses_are_matched_by_keypoints(
    monkeypatch: pytest.MonkeyPatch,
    photos: list[Path],
    tmp_path: Path,
    shift: float,
    expected: float,
) -> None:
    joints = np.array([[[10.0 + 5 * i, 20.0 + 3 * i, 2.0] for i in range(17)]], np.float32)
    document = json.loads(coco(photos, [[10.0, 20.0, 80.0, 48.0]] * 5))
    for annotation in document["annotations"]:
        annotation |= {"keypoints": joints.ravel().tolist(), "num_keypoints": 17}
    document["categories"] = [{"id": 40, "name": "person"}]
    labels = tmp_path / "keypoints.json"
    labels.write_text(json.dumps(document))
    found = Poses(
        np.array([[10, 20, 90, 68]], np.float32),
        np.array([0.9], np.float32),
        joints + np.array([shift, 0, 0], np.float32),
    )
    monkeypatch.setattr(YOLOv7w6Pose, "predict", lambda *_, **__: iter([found] * 5))

    measured = evaluate(YOLOv7w6Pose(weights="random"), photos[0].parent, labels)

    assert measured.figures == {
        "OKS mAP": pytest.approx(expected),
        "OKS mAP50": pytest.approx(expected),
    }


def test_no_detections_give_zero_accuracy(
    monkeypatch: pytest.MonkeyPatch, photos: list[Path], tmp_path: Path
) -> None:
    labels = tmp_path / "instances.json"
    labels.write_text(coco(photos[:1], [[1, 1, 2, 2]]))
    nothing = Detections(
        np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, int), ()
    )
    monkeypatch.setattr(SSDMobileNet, "predict", lambda *_, **__: iter([nothing]))
    measured = evaluate(SSDMobileNet(weights="random"), photos[0].parent, labels)
    assert measured.figures == {"mAP": 0.0, "mAP50": 0.0}


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2", "file,class_index\nx.jpg,cat", "file,class_index"]
)
def test_invalid_labels_are_an_error(
    classifier: EfficientNetLite0, tmp_path: Path, text: str
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(FuriosaModelsError, match=r"labels\.csv"):
        evaluate(classifier, tmp_path, tmp_path / "labels.csv")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [], "categories": []}'])
def test_invalid_annotations_are_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(FuriosaModelsError, match=r"labels\.json"):
        evaluate(SSDMobileNet(weights="random"), tmp_path, tmp_path / "labels.json")


def test_classes_of_folders_are_matched_by_name(
    classifier: EfficientNetLite0, photos: list[Path], tmp_path: Path
) -> None:
    results = classifier.predict(photos, top_k=5)
    names = [results[0].label, results[1].labels[4].upper(), "no class", "no class", "no class"]
    for photo, name in zip(photos, names, strict=True):
        folder = tmp_path / "animals" / "valid" / name.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "animals" / "train" / "no class").mkdir(parents=True)
    expected = {"top-1": 1 / 5, "top-5": 2 / 5}
    assert evaluate(classifier, tmp_path / "animals" / "valid", device="cpu").figures == expected
    assert evaluate(classifier, labels=tmp_path / "animals", device="cpu").figures == expected
    labels = read_dataset(tmp_path / "animals", split="val")
    assert evaluate(classifier, labels=labels, device="cpu").figures == expected
    few = replace(labels, photos=labels.photos[:2])
    assert evaluate(classifier, labels=few, device="cpu").photos == 2
    with pytest.raises(DatasetError, match="has none of the model's classes"):
        evaluate(classifier, labels=replace(labels, classes=("x", "y", "z")))


def test_detections_are_measured_in_every_layout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_photos(tmp_path / "coco")
    write_coco(tmp_path / "coco" / "instances.json")
    write_photos(tmp_path / "yolo" / "images" / "val")
    write_yolo_labels(tmp_path / "yolo" / "labels" / "val")
    (tmp_path / "yolo" / "data.yaml").write_text("val: images/val\nnames: {0: Cat, 1: Dog}\n")
    write_photos(tmp_path / "voc" / "JPEGImages")
    write_voc_labels(tmp_path / "voc" / "Annotations")

    def predict(_: object, photos: list[Path], **__: object) -> Iterator[Detections]:
        for photo in photos:
            boxes = np.array([box for _, box in BOXES[photo.stem][:1]], np.float32).reshape(-1, 4)
            classes = np.array([class_id + 1 for class_id, _ in BOXES[photo.stem][:1]], int)
            yield Detections(boxes, np.ones(len(boxes), np.float32), classes, ("bg", "cat", "dog"))

    monkeypatch.setattr(SSDMobileNet, "predict", predict)
    model = SSDMobileNet(weights="random")
    expected = {"mAP": pytest.approx(0.75, abs=0.01), "mAP50": pytest.approx(0.75, abs=0.01)}
    for labels in ("coco", "coco/instances.json", "yolo", "yolo/data.yaml", "voc"):
        measured = evaluate(model, labels=tmp_path / labels)
        assert measured.photos == 3
        assert measured.figures == expected, labels


def test_labels_of_another_task_are_an_error(classifier: EfficientNetLite0, tmp_path: Path) -> None:
    write_photos(tmp_path)
    labels = write_coco(tmp_path / "instances.json")
    with pytest.raises(DatasetError, match="expected labels for classification"):
        evaluate(classifier, tmp_path, labels)
    with pytest.raises(DatasetError, match="expected labels for keypoint"):
        evaluate(YOLOv7w6Pose(weights="random"), tmp_path, labels)
    with pytest.raises(TypeError, match="needs labels="):
        evaluate(classifier)
    (tmp_path / "labels.csv").write_text("file,label\na.jpg,cat\n")
    photos = read_dataset(tmp_path / "labels.csv")
    with pytest.raises(DatasetError, match="has labels for classification: expected labeled obj"):
        evaluate(SSDMobileNet(weights="random"), labels=photos)
    with pytest.raises(DatasetError, match="labels for detection, expected .* classification"):
        evaluate(classifier, labels=replace(read_dataset(labels), classes=classifier.labels[:2]))
