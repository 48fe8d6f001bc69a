"""Runs that end early or go on with other arguments, and heads that are fitted again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.data import Objects, read_dataset
from furiosa_models.errors import DatasetError, ImageError, TrainingError
from furiosa_models.vision import MobileNetV2

from .scenes import args, boxes, classifier, squares, ssd

pytestmark = pytest.mark.torch


def rates(folder: Path) -> list[float]:
    entries = json.loads((folder / "metrics.json").read_text())
    return [entry["lr"] for entry in entries if "lr" in entry]


def test_a_resumed_run_takes_the_new_learning_rate(tmp_path: Path) -> None:
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    classifier().train(args(folder, 2, learning_rate=1e-3), photos, photos)
    model = classifier()
    model.train(args(folder, 4, learning_rate=1e-4, resume=True), photos, photos)
    assert rates(folder) == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert json.loads((folder / "train_args.json").read_text())["learning_rate"] == 1e-4


def test_another_optimizer_cannot_resume_a_run(tmp_path: Path) -> None:
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    classifier().train(args(folder, 1), photos, photos)
    with pytest.raises(TrainingError, match="has the optimizer ADAMW, not SGD"):
        classifier().train(args(folder, 2, resume=True, optimizer="SGD"), photos, photos)


@pytest.mark.filterwarnings("ignore:the data set has errors")
def test_a_run_that_a_photo_stopped_goes_on_when_it_is_repaired(tmp_path: Path) -> None:
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    broken = photos[2].path
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-400])
    val = replace(photos, photos=photos.photos[:2])
    options: dict[str, Any] = {"batch_size": 1}
    with pytest.raises(ImageError, match=broken.name):
        classifier().train(args(folder, 8, **options), photos, val)
    broken.write_bytes(whole)
    trained = classifier().train(args(folder, 8, resume=True, **options), photos, val)
    assert trained.iterations == 8
    assert len(rates(folder)) == 8


def test_labels_without_a_single_object_are_an_error(tmp_path: Path) -> None:
    photos = boxes(tmp_path / "photos", side=96)
    bare = replace(photos, photos=tuple(replace(p, objects=Objects()) for p in photos))
    for train, val, name in ((bare, photos, "training"), (photos, bare, "validation")):
        with pytest.raises(DatasetError, match=f"no photo of the {name} set .* has a label"):
            ssd().train(args(tmp_path / "run", 1), train, val)


def test_validation_photos_may_lack_a_class(tmp_path: Path) -> None:
    squares(tmp_path / "train", 2)
    squares(tmp_path / "val", seed=1)
    for photo in (tmp_path / "val" / "gray").iterdir():
        photo.unlink()
    (tmp_path / "val" / "gray").rmdir()
    model = classifier()
    model.train(args(tmp_path / "run", 1), tmp_path / "train", tmp_path / "val")
    assert model.labels == read_dataset(tmp_path / "train").classes
    fitted = classifier().fit_head(tmp_path / "train", tmp_path / "val")
    assert fitted.fitted_head.confusion.sum() == 3


def test_a_fitted_head_is_fitted_and_trained_again(tmp_path: Path) -> None:
    photos = squares(tmp_path / "photos", 2)
    once = classifier().fit_head(photos)
    assert once.fitted_head.accuracy == 1.0
    other = replace(photos, classes=("r", "b", "g", "y"))
    twice = once.fit_head(other)
    assert twice.labels == other.classes
    folder = twice.save(tmp_path / "saved")
    assert (folder / "model.safetensors").exists()
    again = MobileNetV2(folder)
    assert again.predict(photos[0].path, device="cpu") == "r"
    assert again.torch_module().live_norms  # the checkpoint is still that of the network
    graph_alone = classifier(weights=twice.origin, labels=list(other.classes)).fit_head(photos)
    assert graph_alone.fit_head(photos).predict(photos[1].path, device="cpu") == "blue"
    again.train(args(tmp_path / "run", 1), other, other)


def test_arguments_in_the_wrong_order_are_said(tmp_path: Path) -> None:
    photos: Any = squares(tmp_path / "photos")
    with pytest.raises(TypeError, match="expected TrainerArgs first"):
        classifier().train(photos, args(tmp_path / "run", 1))
    with pytest.raises(DatasetError, match="photos has no validation part: pass data_val"):
        classifier().train(args(tmp_path / "run", 1), photos)
