"""Recorded figures, and the pages that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_pages import model_page
from records import accuracy_of, int8_table, metric_of, photos_of, points, speed_of

from furiosa_models import get_model, list_models

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_newest_record_counts() -> None:
    lines = (RESULTS / "records.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["model"] == "SSDMobileNetV2"]
    newest = [row for row in rows if row["precision"] == "fp32"][-1]
    assert speed_of("SSDMobileNetV2") == newest
    assert speed_of("NoModel") is None


def test_recorded_accuracy_is_that_of_the_catalog() -> None:
    checked = 0
    for name in list_models():
        record = accuracy_of(name)
        if record is None:
            continue
        artifact = get_model(name).catalog()[record["weights"]]
        known = {a.metric: a.value for a in artifact.accuracy if a.dataset[:3].isdigit()}
        metric = metric_of(record)
        assert record["figures"][metric] == pytest.approx(known[metric], abs=2e-4)
        assert photos_of(record).split(" of ")[1] in {"ImageNet-1k val", "COCO val2017"}
        checked += 1
    assert checked >= 10


def test_points_are_of_one_task() -> None:
    names = {point.name for point in points("object_detection")}
    assert {"SSDMobileNetV2", "YOLOv5s"} <= names
    assert "ResNet50" not in names


def test_int8_table_shows_the_loss() -> None:
    (row,) = [row for row in int8_table().splitlines() if "`YOLOv5s`/coco" in row]
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["mAP 0.3702", "0.3612", "2.4%"]


@pytest.mark.parametrize("name", ["SSDMobileNetV2", "PoseNet", "YOLOv5n", "ResNet50"])
def test_pages_begin_with_a_prediction(name: str) -> None:
    page = model_page(name)
    assert page.index(".predict(") < page.index("## ")
    assert "preprocess" not in page[: page.index("## ")]


def test_pages_say_what_a_license_means() -> None:
    assert "AGPL" in model_page("YOLOv5s")
    assert "must be offered the source" in model_page("YOLOv5s")
    assert "closed products" in model_page("SSDMobileNetV2")
    assert "(x - 0)" not in model_page("EfficientNetB0")
