"""What a run writes for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import TrainingError
from furiosa_models.heads import ClassificationHead, SSDHead
from furiosa_models.training.args import TrainerArgs
from furiosa_models.training.figures import focoos_figures, write_figures
from furiosa_models.training.records import Metrics

pytestmark = pytest.mark.torch

DETECTION, CLASSES = SSDHead((1,)).task, ClassificationHead().task


def entries(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_records_losses_and_figures(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "run")
    metrics.start(TrainerArgs("run", max_iters=7))
    metrics.add_losses(5, {"total_loss": 2.5, "loss_class": 2.5}, 1e-3, 0.5)
    metrics.add_figures(5, {"mAP": 0.25, "mAP50": 0.5}, DETECTION)
    assert entries(tmp_path / "run") == [
        {"iteration": 5, "total_loss": 2.5, "loss_class": 2.5, "lr": 1e-3, "time": 0.5},
        {"iteration": 5, "bbox/AP": 25.0, "bbox/AP50": 50.0},
    ]
    log = (tmp_path / "run" / "log.txt").read_text().splitlines()
    assert "iteration 5  total_loss 2.5000  loss_class 2.5000  lr 0.001" in log[0]
    assert "iteration 5  bbox/AP 25.00  bbox/AP50 50.00" in log[1]
    args = json.loads((tmp_path / "run" / "train_args.json").read_text())
    assert TrainerArgs.from_dict(args) == TrainerArgs("run", max_iters=7)


def test_a_run_starts_in_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        TrainingError, match=r"is not empty: .*another run_name, or set resume=True"
    ):
        Metrics(tmp_path).check_new()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    Metrics(tmp_path / "empty").check_new()


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.start(TrainerArgs("run"))
    for iteration in (2, 4, 6):
        metrics.add_losses(iteration, {"total_loss": 1.0}, 0.1, 0.1)
        metrics.add_figures(iteration, {"top1": 0.5}, CLASSES)
    again = Metrics(tmp_path)
    again.resume(TrainerArgs("run"), 4)
    assert [entry["iteration"] for entry in entries(tmp_path)] == [2, 2, 4, 4]
    again.add_losses(5, {"total_loss": 2.0}, 0.1, 0.1)
    assert entries(tmp_path)[-1]["total_loss"] == 2.0


def test_curves_show_losses_and_figures(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.start(TrainerArgs("run"))
    metrics.draw_curves()
    with Image.open(tmp_path / "curves.png") as empty:
        before = np.asarray(empty.convert("L"))
    for iteration in range(1, 5):
        metrics.add_losses(iteration, {"total_loss": 1 / iteration, "new": 1.0}, 0.1, 0.1)
        metrics.add_figures(iteration, {"top1": iteration / 5}, CLASSES)
    metrics.draw_curves()
    with Image.open(tmp_path / "curves.png") as drawn:
        after = np.asarray(drawn.convert("L"))
    assert after.shape == before.shape
    middle = after.shape[1] // 2
    for half in (slice(None, middle), slice(middle, None)):
        assert (after[:, half] < 200).sum() > 1.2 * (before[:, half] < 200).sum()
    assert not list(tmp_path.glob(".*"))


def test_pictures_of_predictions_share_a_sheet(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    colors = ["red", "lime", "blue", "yellow", "black"]
    metrics.draw_samples(20, (Image.new("RGB", (500, 300), color) for color in colors))
    with Image.open(tmp_path / "preview" / "samples_iter_20.jpg") as sheet:
        assert sheet.size == (3 * 400, 2 * 400)
        assert sheet.getpixel((200, 100)) == pytest.approx((255, 0, 0), abs=6)
        assert sheet.getpixel((1000, 100)) == pytest.approx((0, 0, 255), abs=6)
        assert sheet.getpixel((600, 500)) == pytest.approx((0, 0, 0), abs=6)
        assert sheet.getpixel((1000, 500)) == pytest.approx((255, 255, 255), abs=6)


def test_no_pictures_make_no_sheet(tmp_path: Path) -> None:
    Metrics(tmp_path).draw_samples(20, [])
    assert not list(tmp_path.iterdir())


def test_figures_have_the_names_of_focoos() -> None:
    assert focoos_figures({"mAP": 0.5, "mAP75": 0.25}, DETECTION) == {
        "bbox/AP": 50.0,
        "bbox/mAP75": 25.0,
    }
    assert focoos_figures({"top1": 1.0}, CLASSES) == {"classification/top1": 100.0}


def test_evaluations_are_added_to_earlier_ones(tmp_path: Path) -> None:
    write_figures(tmp_path / "run_eval", {"top1": 0.5}, CLASSES)
    write_figures(tmp_path / "run_eval", {"top1": 0.75}, CLASSES)
    found = entries(tmp_path / "run_eval")
    assert found == [{"classification/top1": 50.0}, {"classification/top1": 75.0}]
