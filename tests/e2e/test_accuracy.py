"""Accuracy with real weights on labelled photos, beside an independent implementation's."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import get_model
from furiosa_models.runtime.sync import create_runner
from furiosa_models.types import Platform
from furiosa_models.vision import SSDMobileNet, SSDMobileNetV2
from furiosa_models.vision.tasks import ObjectDetectionModel

from .independent import SSD, coco_map

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("use_warm_cache"),
]

THRESHOLD = 0.01
MOST = 100  # detections of one photo that COCO's mAP looks at
Report = Callable[[str], None]


@pytest.fixture
def report(record_property: Callable[[str, object], None], capfd: Any) -> Report:
    """Say a measured figure, whatever becomes of the test."""

    def say(text: str) -> None:
        record_property("measured", text)
        with capfd.disabled():
            print(f"\n    {text}", end="")  # noqa: T201

    return say


def coco_photos(data: Path) -> list[tuple[int, Path]]:
    images = json.loads((data / "coco" / "instances.json").read_text())["images"]
    return [(image["id"], data / "coco" / "images" / image["file_name"]) for image in images]


def our_map(model: ObjectDetectionModel, data: Path) -> float:
    results = []
    for image_id, path in coco_photos(data):
        found = model.predict(path, score_threshold=THRESHOLD)
        results += found[:MOST].to_coco(image_id)
    return coco_map(data / "coco" / "instances.json", results)


def independent_map(onnx: bytes, data: Path) -> float:
    ssd = SSD(onnx)
    results = [
        {"image_id": image_id, "category_id": class_id, "score": score, "bbox": box}
        for image_id, path in coco_photos(data)
        for class_id, score, box in ssd.detect(path, THRESHOLD)[:MOST]
    ]
    return coco_map(data / "coco" / "instances.json", results)


def compare_maps(
    make: Callable[[Platform], ObjectDetectionModel], data: Path, report: Report
) -> float:
    """Our mAP from Rust, after comparing it with Python's and the independent one."""
    rust, python = (our_map(make(platform), data) for platform in (Platform.RUST, Platform.PYTHON))
    other = independent_map(make(Platform.RUST).origin, data)
    report(f"mAP: Rust {rust:.4f}, Python {python:.4f}, independent {other:.4f}")
    assert rust == pytest.approx(other, abs=0.001)
    assert python == pytest.approx(other, abs=0.001)
    return rust


def test_ssd_mobilenet_from_an_onnx_file(data: Path, report: Report) -> None:
    onnx = data / "weights" / "ssd_mobilenet_v1_075_coco_raw12.onnx"
    make = lambda platform: SSDMobileNet(weights=onnx, postprocessor_type=platform)  # noqa: E731
    assert compare_maps(make, data, report) > 0.18


@pytest.mark.network
def test_ssd_mobilenet_from_its_package(data: Path, report: Report) -> None:
    make = lambda platform: SSDMobileNet(weights="depth075", postprocessor_type=platform)  # noqa: E731
    assert compare_maps(make, data, report) > 0.18


@pytest.mark.network
def test_the_package_and_the_onnx_file_are_one_network(data: Path, report: Report) -> None:
    onnx = data / "weights" / "ssd_mobilenet_v1_075_coco_raw12.onnx"
    ours = SSDMobileNet(weights="depth075")
    worst = 0.0
    with create_runner(ours.origin) as a, create_runner(onnx) as b:
        for _, path in coco_photos(data)[:8]:
            tensor, _ = ours.preprocess(path, with_scaling=True)
            pairs = zip(a.run(tensor), b.run(tensor), strict=True)
            worst = max(worst, *(float(np.abs(x - y).max()) for x, y in pairs))
    report(f"largest difference of an output: {worst:.2e}")
    assert worst < 1e-3


@pytest.mark.network
def test_ssd_mobilenet_v2(data: Path, report: Report) -> None:
    make = lambda platform: SSDMobileNetV2(postprocessor_type=platform)  # noqa: E731
    assert compare_maps(make, data, report) > 0.2


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "weights", "at_least"),
    [
        ("EfficientNetB0", "tfjs", 0.75),
        ("EfficientNetLite0", "pytorch", 0.75),
        ("EfficientNetLite1", "pytorch", 0.75),
        ("EfficientNetLite2", "pytorch", 0.75),
    ],
)
def test_top_1(name: str, weights: str, at_least: float, data: Path, report: Report) -> None:
    with (data / "imagenet" / "val227.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = get_model(name, weights=weights)
    photos = [data / "imagenet" / "val227" / row["file"] for row in rows]
    results = model.predict(photos, top_k=1)
    right = sum(int(row["class_index"]) == r.class_id for row, r in zip(rows, results, strict=True))
    report(f"{name} top-1: {right}/{len(rows)} = {right / len(rows):.4f}")
    assert right / len(rows) > at_least


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
