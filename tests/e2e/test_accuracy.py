"""Accuracy with real weights on labeled photos, compared with an independent implementation."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import PoseEstimator, get_model, networks
from furiosa_models.artifacts import Store
from furiosa_models.labels import load_labels
from furiosa_models.runtime.sync import create_runner
from furiosa_models.tasks.pose import POSE
from furiosa_models.types import Platform
from furiosa_models.vision import MoveNetMultiPose, MoveNetThunder, PoseNet

from .independent import (
    SSD,
    YOLOv5,
    YOLOv5TFLite,
    coco_map,
    graphdef_network,
    onnx_network,
)

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("use_warm_cache"),
]

MAX_DETECTIONS = 100  # detections per photo that COCO's mAP considers
Report = Callable[[str], None]


@pytest.fixture
def report(record_property: Callable[[str, object], None], capfd: Any) -> Report:
    """Print a measured value, whether or not the test passes."""

    def say(text: str) -> None:
        record_property("measured", text)
        with capfd.disabled():
            print(f"\n    {text}", end="")  # noqa: T201

    return say


def coco_photos(data: Path) -> list[tuple[int, Path]]:
    images = json.loads((data / "coco" / "instances.json").read_text())["images"]
    return [(image["id"], data / "coco" / "images" / image["file_name"]) for image in images]


def our_map(name: str, weights: Path | str, data: Path, threshold: float, **options: Any) -> float:
    """Return our mAP; of some photos, check that the postprocessing in Python agrees."""
    model, python = (
        get_model(name, weights=weights, postprocessor_type=platform, **options)
        for platform in (Platform.RUST, Platform.PYTHON)
    )
    categories = coco_categories(data)
    rows: list[dict[str, Any]] = []
    with create_runner(model, device="cpu") as runner:
        for number, (image_id, path) in enumerate(coco_photos(data)):
            tensor, contexts = model.preprocess(path)
            outputs = runner.run(tensor)
            (found,) = model.postprocess(outputs, contexts, score_threshold=threshold)
            if number % 8 == 0:
                (other,) = python.postprocess(outputs, contexts, score_threshold=threshold)
                assert len(found) == len(other)
                np.testing.assert_allclose(found.scores, other.scores, rtol=1e-5)
            found = found[:MAX_DETECTIONS]
            entries = zip(found.to_coco(image_id), found.labels, strict=True)
            rows += [{**row, "category_id": categories[n]} for row, n in entries if n in categories]
    return coco_map(data / "coco" / "instances.json", rows)


def independent_map(
    detector: SSD | YOLOv5, names: Sequence[str], data: Path, threshold: float
) -> float:
    categories = coco_categories(data)
    results = [
        {"image_id": i, "category_id": categories[names[c]], "score": score, "bbox": box}
        for i, path in coco_photos(data)
        for c, score, box in detector.detect(path, threshold)[:MAX_DETECTIONS]
        if names[c] in categories
    ]
    return coco_map(data / "coco" / "instances.json", results)


def coco_categories(data: Path) -> dict[str, int]:
    categories = json.loads((data / "coco" / "instances.json").read_text())["categories"]
    return {category["name"]: category["id"] for category in categories}


SSD_ONNX = "ssd_mobilenet_v1_075_coco_raw12.onnx"
YOLO_ONNX = "yolov5s_v6.0_coco_raw3.onnx"

SETS: dict[str, tuple[str, str, float, str | None]] = {
    "SSDMobileNet from its package": ("SSDMobileNet", "depth075", 0.1971, SSD_ONNX),
    "SSDMobileNetV2 from its package": ("SSDMobileNetV2", "tensorflow", 0.2994, "graphdef"),
    "YOLOv5n from an ONNX file": (
        "YOLOv5n",
        "yolov5n_v6.0_coco_raw3.onnx",
        0.2799,
        "yolov5n_v6.0_coco_raw3.onnx",
    ),
    "YOLOv5s from its package": ("YOLOv5s", "coco", 0.3702, YOLO_ONNX),
    "NanoDetG from its package": ("NanoDetG", "tfjs", 0.246, None),
    # Its checkpoint runs only at 320 pixels: see the test below.
    "YOLOv5l from its package": ("YOLOv5l", "coco", 0.4894, None),
}
"""Model, weights, the mAP that the catalog states, and the file for the independent implementation.

The boxes are clipped to the photo. That a package gives the outputs of the same weights in an ONNX
file is a test below."""


def source_files(name: str, weights: str) -> list[Path]:
    """Return the published files of a set of weights, unmodified."""
    return list(Store().fetch(get_model(name).catalog()[weights].files).values())


@pytest.mark.network
@pytest.mark.parametrize(("name", "weights", "stated", "source"), SETS.values(), ids=[*SETS])
def test_map_equals_the_stated_and_the_independent_one(
    name: str, weights: str, stated: float, source: str | None, data: Path, report: Report
) -> None:
    ours = data / "weights" / weights if weights.endswith(".onnx") else weights
    kind, labels, threshold = (
        (SSD, "coco91", 0.01) if name.startswith("SSD") else (YOLOv5, "coco80", 0.001)
    )
    found = our_map(name, ours, data, threshold)
    report(f"mAP: {found:.4f}, stated {stated:.4f}")
    assert found == pytest.approx(stated, abs=0.003)
    assert_equals_catalog(name, weights, "mAP", stated)
    if source is None:
        return
    network = (
        graphdef_network(source_files(name, weights)[0])
        if source == "graphdef"
        else onnx_network((data / "weights" / source).read_bytes())
    )
    other = independent_map(kind(network), load_labels(labels), data, threshold)
    report(f"independent {other:.4f}")
    assert found == pytest.approx(other, abs=0.001)


@pytest.mark.network
def test_yolov5l_is_as_accurate_as_its_checkpoint(
    data: Path, tmp_path: Path, report: Report
) -> None:
    (checkpoint,) = source_files("YOLOv5l", "coco")
    arrays = networks.read_weights(
        "tflite", {checkpoint.name: checkpoint.read_bytes()}, "yolov5_tflite"
    )
    graph = networks.build("yolov5", networks.NamedWeights(arrays), variant="l", image_size=320)
    (tmp_path / "yolov5l.onnx").write_bytes(networks.to_bytes(graph))
    labels = load_labels("coco80")
    ours = our_map("YOLOv5l", tmp_path / "yolov5l.onnx", data, 0.001, labels=labels)
    other = independent_map(YOLOv5TFLite(checkpoint, 320), labels, data, 0.001)
    report(f"mAP at 320 pixels: ours {ours:.4f}, the checkpoint by LiteRT {other:.4f}")
    # The checkpoint decodes boxes with constants in half precision: they are off by 0.02 %.
    assert ours == pytest.approx(other, abs=0.003)


@pytest.mark.network
def test_people_are_found_as_accurately_as_stated(data: Path, report: Report) -> None:
    truth = POSE.read_truth(data / "coco" / "person_keypoints.json", data / "coco" / "images")
    cases: list[tuple[Platform, dict[str, Any]]] = [
        (Platform.RUST, {}),
        (Platform.PYTHON, {}),
        (Platform.RUST, {"tiles": "auto"}),
    ]
    figures = [
        POSE.measure(
            truth,
            MoveNetMultiPose(postprocessor_type=platform).predict(
                truth.photos, device="cpu", **POSE.evaluation_options, **options
            ),
        )
        for platform, options in cases
    ]
    rust, python, tiled = (each["OKS mAP"] for each in figures)
    report(f"keypoint mAP: Rust {rust:.4f}, Python {python:.4f}, in tiles {tiled:.4f}")
    assert_equals_catalog("MoveNetMultiPose", "tfjs", "OKS mAP", rust)
    assert python == pytest.approx(rust, abs=0.001)
    assert tiled > rust + 0.05


@pytest.mark.network
@pytest.mark.parametrize(("network", "weights"), [(MoveNetThunder, "tfjs"), (PoseNet, "tflite")])
def test_joints_are_found_as_accurately_as_stated(
    network: type[PoseEstimator], weights: str, data: Path, report: Report
) -> None:
    truth = POSE.read_truth(data / "coco" / "person_keypoints.json", data / "coco" / "images")
    found = network().predict(truth.photos, device="cpu", **POSE.evaluation_options)
    value = POSE.measure(truth, found)["OKS mAP"]
    report(f"keypoint mAP of {network.__name__}: {value:.4f}")
    assert_equals_catalog(network.__name__, weights, "OKS mAP", value)


def assert_equals_catalog(name: str, weights: str, metric: str, value: float) -> None:
    """Check the accuracy that the catalog states for its weights."""
    artifact = get_model(name).catalog().get(weights)
    if artifact is not None:
        figures = {accuracy.metric: accuracy.value for accuracy in artifact.accuracy}
        assert figures[metric] == pytest.approx(value, abs=0.0001)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "weights", "file"),
    [("SSDMobileNet", "depth075", SSD_ONNX), ("YOLOv5s", "coco", YOLO_ONNX)],
)
def test_built_network_gives_the_outputs_of_the_onnx_file(
    name: str, weights: str, file: str, data: Path, report: Report
) -> None:
    ours = get_model(name, weights=weights)
    worst = 0.0
    with create_runner(ours.origin) as a, create_runner(data / "weights" / file) as b:
        for _, path in coco_photos(data)[:8]:
            tensor, _ = ours.preprocess(path, with_scaling=True)
            pairs = zip(a.run(tensor), b.run(tensor), strict=True)
            worst = max(worst, *(float(np.abs(x - y).max()) for x, y in pairs))
    report(f"largest difference of an output: {worst:.2e}")
    assert worst < 1e-3


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "weights", "stated"),
    [
        ("EfficientNetB0", "tfjs", 0.8308),
        ("EfficientNetLite0", "pytorch", 0.8523),
        ("EfficientNetLite1", "pytorch", 0.8554),
        ("EfficientNetLite2", "pytorch", 0.8462),
        ("MobileNetV2", "torchvision", 0.8000),
        ("ResNet50", "keras-v1", 0.8123),
    ],
)
def test_top_1_accuracy(name: str, weights: str, stated: float, data: Path, report: Report) -> None:
    with (data / "imagenet" / "val227.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = get_model(name, weights=weights)
    photos = [data / "imagenet" / "val227" / row["file"] for row in rows]
    results = model.predict(photos, top_k=1)
    right = sum(int(row["class_index"]) == r.class_id for row, r in zip(rows, results, strict=True))
    report(f"{name} top-1: {right}/{len(rows)} = {right / len(rows):.4f}")
    assert right / len(rows) == pytest.approx(stated, abs=0.0031)  # one photo
    assert_equals_catalog(name, weights, "top-1", stated)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "weights"), [("SSDMobileNet", "depth075"), ("EfficientNetB0", "tfjs")]
)
def test_scaling_inside_and_outside_the_graph_agree(
    name: str, weights: str, photos: list[Path], report: Report
) -> None:
    model = get_model(name, weights=weights)
    with create_runner(model.model_source()) as inside, create_runner(model.origin) as outside:
        a = inside.run(model.preprocess(photos[0])[0])
        b = outside.run(model.preprocess(photos[0], with_scaling=True)[0])
    worst = max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))
    report(f"{name}: largest difference {worst:.2e}")
    assert worst < 1e-3


def test_int8_keeps_the_accuracy_that_is_asked_for(data: Path, report: Report) -> None:
    """Calibrated on other photos than those that are evaluated."""
    model: Any = get_model("SSDMobileNetV2")
    int8 = model.quantize(
        data / "imagenet" / "fullsize",
        images=data / "coco" / "images",
        labels=data / "coco" / "instances.json",
        max_loss=0.02,
        max_photos=20,
    )
    fitted = int8.quantization.fitted
    report(fitted.summary)
    assert fitted.met is True
    assert fitted.trials[-1].loss <= 0.02
    assert fitted.evaluations <= 6
    assert int8.quantization.accuracy_after["mAP"] == fitted.accuracy
