from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from furiosa_models.artifacts import zoo
from furiosa_models.cli.verify_ import _by_source, _rows, command
from furiosa_models.evaluation import Evaluation

from ..data.made import write_photos, write_voc_labels

PHOTOS = 8


@pytest.fixture
def arguments(data: Path, tmp_path: Path) -> list[str]:
    """Arguments for a model with calibrated weights and the first few photos."""
    document = json.loads((data / "coco" / "instances.json").read_text())
    images = document["images"][:PHOTOS]
    ids = {image["id"] for image in images}
    own = [truth for truth in document["annotations"] if truth["image_id"] in ids]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({**document, "images": images, "annotations": own}))
    weights = data / "weights" / "yolov5n_v6.0_coco_raw3.onnx"
    photos = ["--images", str(data / "coco" / "images"), "--labels", str(labels)]
    return ["yolov5n", f"--weights={weights}", *photos]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.accuracy
def test_fp32_and_int8_are_printed_side_by_side(arguments: list[str]) -> None:
    rows = [line.split() for line in run(*arguments).splitlines()]
    assert ["metric", "fp32", "int8", "published", "in", "the", "catalog"] in rows
    figures: dict[str, Any] = json.loads(run(*arguments, "--json"))["figures"]
    assert figures["fp32"] != figures["int8"]
    both = [f"{figures[precision]['mAP']:.4f}" for precision in ("fp32", "int8")]
    assert ["mAP", *both, "-", "-"] in rows


@pytest.mark.accuracy
def test_single_precision(arguments: list[str]) -> None:
    assert list(json.loads(run(*arguments, "--precision=int8", "--json"))["figures"]) == ["int8"]


def test_our_measurements_are_not_labeled_published() -> None:
    artifacts = [artifact for model in zoo().values() for artifact in model.sets.values()]
    theirs, ours = _by_source([figure for each in artifacts for figure in each.accuracy])
    assert theirs
    assert ours
    assert {figure.measured_by.partition(" 0.")[0] for figure in theirs} == {
        *("furiosa-models", "the authors of D-FINE", "the authors of YOLOX"),
    }
    measured = Evaluation("SSDMobileNet", "published", 5, {"mAP": 0.25})
    ssd = zoo()["SSDMobileNet"].sets
    ((metric, figure, published, catalog),) = _rows({"fp32": measured}, ssd["published"].accuracy)
    assert (metric, figure, catalog) == ("mAP", "0.2500", "-")
    assert published.startswith("0.23")
    ((*_, published, catalog),) = _rows({"fp32": measured}, ssd["depth075"].accuracy)
    assert published == "-"
    assert catalog.startswith("0.19")


def test_labels_may_be_a_data_set_with_photos_of_its_own(tmp_path: Path) -> None:
    write_photos(tmp_path / "train")
    write_photos(tmp_path / "test")
    for part in ("train", "test"):
        write_voc_labels(tmp_path / part)
    arguments = ["ssd-mobilenet", "--weights=random", "--precision=fp32", f"--labels={tmp_path}"]
    assert "on 3 photos" in run(*arguments, "--split=test")
    result = CliRunner().invoke(command, arguments)
    assert "has the parts train, test: pass split=" in str(result.exception)


@pytest.mark.accuracy
def test_records_are_appended(arguments: list[str], tmp_path: Path) -> None:
    run(*arguments, "--record", str(tmp_path / "accuracy.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "accuracy.jsonl").read_text().splitlines()]
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
    for row in rows:
        assert (row["model"], row["photos"], row["labels"]) == ("YOLOv5n", PHOTOS, "labels.json")
        assert 0 < row["figures"]["mAP"] <= 1
        assert "onnxruntime" in row["versions"]
