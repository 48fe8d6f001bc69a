"""`furiosa-models train` and `fit-head` as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .scenes import COLORS, boxes, classifier, squares, write_coco, yolo

pytestmark = pytest.mark.torch


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from furiosa_models.cli import main; main()"
    ignored = "ignore:the data set has errors:UserWarning"  # photos both to train and to validate
    command = [sys.executable, "-W", "error", "-W", ignored, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=200, env=environment
    )


def document(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


FAST = ("--device", "cpu", "--no-augmentation", "--set", "amp_enabled=false", "--set", "workers=0")


def test_a_classifier_is_trained_resumed_and_used(tmp_path: Path) -> None:
    for part in ("train", "val"):
        squares(tmp_path / "data" / part)
    model = classifier().save(tmp_path / "model")
    out = tmp_path / "run"
    command = ("train", model, "--data", tmp_path / "data", "-o", out, "--batch-size", 4, *FAST)
    facts = document(run(*command, "--iterations", 4, "--set", "eval_period=2", "--json"))
    assert facts["folder"] == str(out)
    assert facts["iterations"] == 4
    assert facts["stopped"] == "iterations"
    assert {*facts["figures"]} == {"top-1", "top-5"}
    again = run(*command, "--iterations", 4)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    assert "Traceback" not in again.stderr
    resumed = document(run(*command, "--iterations", 6, "--resume", "--json"))
    assert resumed["iterations"] == 6
    photo = next((tmp_path / "data" / "val" / "red").iterdir())
    found = document(run("predict", out, photo, "--json"))
    assert {*found["photos"][0]["results"][0]} >= {"label", "score"}
    labels = {row["label"] for row in found["photos"][0]["results"]}
    assert labels == {*COLORS}


def test_a_detector_is_trained_on_a_file_of_coco(tmp_path: Path) -> None:
    photos = boxes(tmp_path / "photos")
    labels = write_coco(photos, tmp_path / "photos" / "labels.json")
    model = yolo().save(tmp_path / "model")
    out = tmp_path / "run"
    result = run(
        *("train", model, "--data", labels, "--val", labels, "-o", out, "--iterations", 2),
        *("--batch-size", 2, "--learning-rate", "1e-3", *FAST),
        *("--set", "ema-enabled=true", "--set", "optimizer=SGD"),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"-> {out}" in result.stdout
    assert "Run it: furiosa-models predict" in result.stdout
    args = json.loads((out / "train_args.json").read_text())
    assert (args["ema_enabled"], args["optimizer"], args["learning_rate"]) == (True, "SGD", 1e-3)
    assert json.loads((out / "model_info.json").read_text())["classes"] == ["red", "blue"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "epochs=3"), "unknown arguments epochs"),
        (("--set", "patience"), "expected NAME=VALUE, got 'patience'"),
        (("--set", "patience=0"), "patience must be a number of at least 1"),
        (("--set", "scheduler=STEP"), "scheduler must be one of"),
        (("--device", "tpu"), "device must be auto"),
        (("--iterations", "0"), "--iterations"),
    ],
)
def test_wrong_options_are_usage_errors(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    squares(tmp_path / "data")
    command = ("train", "MobileNetV2", "--weights=random", "--data", tmp_path / "data")
    result = run(*command, "-o", tmp_path / "run", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_data_without_a_validation_part_is_an_error(tmp_path: Path) -> None:
    squares(tmp_path / "data")
    model = classifier().save(tmp_path / "model")
    result = run("train", model, "--data", tmp_path / "data", "-o", tmp_path / "run", *FAST)
    assert result.returncode == 1
    assert "no validation part" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_head_is_fitted_and_used(tmp_path: Path) -> None:
    squares(tmp_path / "data", 5)
    model = classifier().save(tmp_path / "model")
    out, plot = tmp_path / "fitted", tmp_path / "confusion.png"
    facts = document(run("fit-head", model, tmp_path / "data", "-o", out, "--plot", plot, "--json"))
    assert facts["accuracy"] == 1.0
    assert facts["folder"] == str(out)
    assert [*facts["class_accuracy"]] == sorted(COLORS)
    assert np.trace(np.array(facts["confusion"])) == 20
    with Image.open(plot) as picture:
        assert picture.width > 100
    photo = next((tmp_path / "data" / "blue").iterdir())
    found = document(run("predict", out, photo, "--json", "--top-k=1"))
    assert found["photos"][0]["results"][0]["label"] == "blue"
    again = run("fit-head", model, tmp_path / "data", "-o", out)
    assert again.returncode == 1
    assert "Traceback" not in again.stderr
    text = run("fit-head", model, tmp_path / "data", "-o", tmp_path / "other")
    assert "100.0% right in cross-validation" in text.stdout
    assert "Run it: furiosa-models predict" in text.stdout
