"""Networks with random weights learn a few photos by heart, and remain usable as models."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from furiosa_models import Classifier, Detector, networks
from furiosa_models.data import LabeledPhotos
from furiosa_models.errors import ConversionError, LabelsError
from furiosa_models.training import trainer
from furiosa_models.training.args import TrainerArgs
from furiosa_models.training.trainable import trainable_of
from furiosa_models.vision import MobileNetV2

from .scenes import COLORS, NAMES, args, boxes, classifier, losses, squares, ssd, yolo

pytestmark = pytest.mark.torch


def shown(results: Any) -> list[Any]:
    return [result.to_dict() for result in results]


def paths(photos: LabeledPhotos) -> list[Path]:
    return [photo.path for photo in photos]


def check_model(
    model: Any, kind: Any, photos: LabeledPhotos, folder: Path, figure: str, least: float
) -> None:
    """Check predictions, evaluation, the run's folder, saving, loading and quantization."""
    expected = shown(model.predict(paths(photos)))
    assert any(expected)
    assert model.eval(args(folder, 1), photos).figures[figure] >= least
    figures = json.loads((folder.with_name(f"{folder.name}_eval") / "metrics.json").read_text())
    assert len(figures) == 1
    for place in (folder, model.save(folder.parent / "saved")):
        for loader in (kind, type(model)):
            loaded = loader(place)
            assert loaded.labels == model.labels
            assert shown(loaded.predict(paths(photos))) == expected
    info = json.loads((folder / "model_info.json").read_text())
    assert info["status"] == "TRAINING_COMPLETED"
    assert TrainerArgs.from_dict(info["train_args"]).run_name == folder.name
    again = kind(folder).train(args(folder.parent / "more", 1), photos, photos)
    assert again.best[figure] >= least  # from where the first run ended
    int8 = model.quantize(paths(photos), labels=photos)
    assert int8.quantization.accuracy_after[figure] >= 0.5 * least


def test_a_classifier_learns_photos_by_heart(tmp_path: Path) -> None:
    photos, model = squares(tmp_path / "data"), classifier()
    run = tmp_path / "run"
    trained = model.train(args(run, 40, eval_period=10), photos, photos)
    found = losses(run)
    assert len(found) == 40
    assert found[-1]["total_loss"] < 0.01 * found[0]["total_loss"]
    assert trained.best["top-1"] == 1.0
    assert trained.stopped == "iterations"
    assert model.labels == tuple(COLORS)
    for photo in photos:
        assert photo.class_id is not None
        result = model.predict(photo.path)
        assert result.labels[0] == photos.classes[photo.class_id]
    check_model(model, Classifier, photos, run, "top-1", 1.0)
    names = {path.name for path in run.iterdir()}
    assert {"model.onnx", "model.safetensors", "model_final.pth", "log.txt", "curves.png"} <= names
    assert "model_best.pth" not in names
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.slow
def test_ssd_learns_photos_by_heart(tmp_path: Path) -> None:
    photos, model = boxes(tmp_path / "data"), ssd()
    run = tmp_path / "run"
    options = {"learning_rate": 3e-3, "freeze_bn": True, "samples": 4}
    trained = model.train(args(run, 80, eval_period=80, **options), photos, photos)
    found = losses(run)
    assert found[-1]["total_loss"] < 0.05 * found[0]["total_loss"]
    assert trained.best["mAP"] > 0.8
    assert model.labels == ("background", *NAMES)
    check_model(model, Detector, photos, run, "mAP", 0.8)
    assert (run / "preview" / "samples_iter_80.jpg").stat().st_size > 1000


@pytest.mark.slow
def test_yolo_learns_photos_by_heart(tmp_path: Path) -> None:
    photos, model = boxes(tmp_path / "data"), yolo()
    run = tmp_path / "run"
    options = {"learning_rate": 4e-3, "ema_enabled": True, "ema_decay": 0.8, "ema_warmup": 5}
    trained = model.train(args(run, 120, eval_period=60, **options), photos, photos)
    found = losses(run)
    assert found[-1]["total_loss"] < 0.15 * found[0]["total_loss"]
    assert trained.best["mAP50"] > 0.6
    assert model.labels == NAMES
    check_model(model, Detector, photos, run, "mAP50", 0.6)


@pytest.mark.parametrize(("make", "data"), [(classifier, squares), (yolo, boxes), (ssd, boxes)])
def test_networks_learn_in_16_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, data: Any
) -> None:
    monkeypatch.setattr(trainer, "_multiplies_bfloat16", lambda: True)
    photos = data(tmp_path / "data")
    model = make()
    wide, narrow = tmp_path / "wide", tmp_path / "narrow"
    make().train(args(wide, 12), photos, photos)
    model.train(args(narrow, 12, amp_enabled=True), photos, photos)
    found, expected = losses(narrow), losses(wide)
    assert found[0]["total_loss"] == pytest.approx(expected[0]["total_loss"], rel=0.1)
    assert found[0] != expected[0]
    assert found[-1]["total_loss"] < 0.9 * found[0]["total_loss"]
    arrays = torch.load(narrow / "model_final.pth", weights_only=True)["model"].values()
    assert {array.dtype for array in arrays if array.is_floating_point()} == {torch.float32}


def test_training_stops_when_nothing_improves(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    run = args(tmp_path / "run", 50, eval_period=2, early_stop=True, patience=3, learning_rate=0.0)
    trained = classifier().train(replace(run, freeze_bn=True), photos, photos)
    assert trained.stopped == "patience"
    assert trained.iterations == 6
    assert trained.best_iteration == 0


def test_training_stops_when_the_time_is_over(tmp_path: Path) -> None:
    photos, model = squares(tmp_path / "data"), classifier()
    trained = model.train(args(tmp_path / "run", 10_000, time_limit=0.0), photos, photos)
    assert trained.stopped == "time"
    assert trained.iterations == 1
    entries = json.loads((tmp_path / "run" / "metrics.json").read_text())
    evaluated = [e["iteration"] for e in entries if "classification/top-1" in e]
    assert evaluated == [0, 1]
    assert model.predict(photos[0].path).labels


def test_classes_that_keep_their_name_start_with_their_weights(tmp_path: Path) -> None:
    photos, model = boxes(tmp_path / "data"), yolo()
    renamed = replace(photos, classes=("Dining-Table", "shelf"))
    before = {t.name: t for t in trainable_of(model.origin, None).model.graph.initializer}
    checkpoint = model._weights.checkpoint()
    run = args(tmp_path / "run", 1, learning_rate=0.0, freeze_bn=True)
    trained = model.train(run, renamed, renamed)
    assert before
    arrays = trained.trainable.checkpoint.arrays
    old = np.asarray(checkpoint.arrays["model.24.m.0.bias"]).reshape(3, -1)
    new = np.asarray(arrays["model.24.m.0.bias"]).reshape(3, -1)
    assert new.shape == (3, 7)
    np.testing.assert_array_equal(new[:, :5], old[:, :5])
    table = [*yolo().labels].index("dining table")
    np.testing.assert_array_equal(new[:, 5], old[:, 5 + table])
    np.testing.assert_allclose(new[:, 6], old[:, 5:].mean(1), rtol=1e-5)
    assert model.labels == ("Dining-Table", "shelf")


def test_merged_classes_start_from_the_mean(tmp_path: Path) -> None:
    photos, model = boxes(tmp_path / "data"), yolo()
    renamed = replace(photos, classes=("vehicle", "person"))
    old = np.asarray(model._weights.checkpoint().arrays["model.24.m.1.bias"]).reshape(3, -1)
    names = [*model.labels]
    run = args(tmp_path / "run", 1, learning_rate=0.0, freeze_bn=True)
    sources = {"vehicle": ["car", "truck"]}
    trained = model.train(run, renamed, renamed, class_sources=sources)
    new = np.asarray(trained.trainable.checkpoint.arrays["model.24.m.1.bias"]).reshape(3, -1)
    pair = [5 + names.index("car"), 5 + names.index("truck")]
    np.testing.assert_allclose(new[:, 5], old[:, pair].mean(1), rtol=1e-5)
    np.testing.assert_array_equal(new[:, 6], old[:, 5 + names.index("person")])


@pytest.mark.parametrize("sources", [{"lorry": "truck"}, {"vehicle": ["car", "spaceship"]}])
def test_unknown_names_of_merged_classes_are_errors(
    tmp_path: Path, sources: dict[str, Any]
) -> None:
    photos = replace(boxes(tmp_path / "data"), classes=("vehicle", "person"))
    run = args(tmp_path / "run", 1)
    with pytest.raises(LabelsError, match="lorry|spaceship"):
        yolo().train(run, photos, photos, class_sources=sources)
    assert not (tmp_path / "run").exists()


def test_a_preprocess_of_the_user_is_honored(tmp_path: Path) -> None:
    """Its network sees red photos as blue ones, also in training."""
    calls: list[int] = []

    class Swapped(MobileNetV2):
        def preprocess(self, images: Any) -> Any:  # type: ignore[override]
            calls.append(len(images))
            return super().preprocess([image[:, :, ::-1] for image in images])

    photos = squares(tmp_path / "data")
    model = classifier(Swapped)
    trained = model.train(args(tmp_path / "run", 30, eval_period=30), photos, photos)
    assert sum(calls) >= 30 * 4
    assert trained.best["top-1"] == 1.0
    assert [r.labels[0] for r in model.predict(paths(photos))] == [*photos.classes]
    plain = Classifier(tmp_path / "run")
    swapped = [r.labels[0] for r in plain.predict(paths(photos))]
    assert swapped[:2] != ["red", "blue"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_graph_of_the_user_trains_with_frozen_normalization(tmp_path: Path) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 5),
    ).eval()
    path = tmp_path / "own.onnx"
    torch.onnx.export(
        module,
        (torch.rand(2, 3, 64, 64),),
        path,
        dynamo=False,
        input_names=["x"],
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamic_axes={"x": {0: "batch"}},
    )
    photos, model = squares(tmp_path / "data"), Classifier(path)
    statistics = {
        t.name: t.raw_data
        for t in trainable_of(model.origin, None).model.graph.initializer
        if "running" in t.name
    }
    run = args(tmp_path / "run", 60, learning_rate=0.02, eval_period=20)
    trained = model.train(run, photos, photos)
    assert trained.best["top-1"] == 1.0
    assert model.labels == tuple(COLORS)
    after = {t.name: t.raw_data for t in trained.trainable.model.graph.initializer}
    assert all(after[name] == data for name, data in statistics.items())
    expected = shown(model.predict(paths(photos)))
    assert shown(Classifier(tmp_path / "run").predict(paths(photos))) == expected
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_graph_of_a_fixed_batch_size_trains_with_another(tmp_path: Path) -> None:
    program = networks.build(
        "mobilenet_v2", networks.RandomWeights(), image_size=64, num_classes=4, batch_size=1
    )
    photos, model = squares(tmp_path / "data"), Classifier(networks.to_bytes(program))
    trained = model.train(args(tmp_path / "run", 2), photos, photos)
    assert trained.iterations == 2
    assert len(model.predict(paths(photos))) == 4


@pytest.mark.parametrize("labels", [None, [*COLORS]])
def test_a_graph_that_ends_in_argmax_is_refused(tmp_path: Path, labels: list[str] | None) -> None:
    params = {"variant": "18", "image_size": 64, "num_classes": 4, "argmax": True}
    program = networks.build("resnet", networks.RandomWeights(), **params)
    model = Classifier(networks.to_bytes(program), labels=labels)
    photos = squares(tmp_path / "data")
    with pytest.raises(ConversionError, match="ends in ArgMax"):
        model.train(args(tmp_path / "run", 1), photos, photos)


@dataclass(frozen=True)
class Squares:
    """A loss of the user: the distance from a one of the class and zeros."""

    def __call__(
        self, outputs: Any, targets: Any, size: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        assert size == (64, 64)
        (scores,) = outputs
        expected = torch.zeros_like(scores)
        for row, target in zip(expected, targets, strict=True):
            row[target.class_ids] = 1.0
        return {"loss_squares": (scores - expected).square().mean()}


def test_a_loss_of_the_user_is_minimized(tmp_path: Path) -> None:
    photos, model = squares(tmp_path / "data"), classifier()
    run = args(tmp_path / "run", 40, learning_rate=1e-3)
    model.train(run, photos, photos, loss=Squares())
    found = losses(tmp_path / "run")
    assert {"loss_squares", "total_loss"} <= {*found[0]}
    assert found[-1]["loss_squares"] < 0.1 * found[0]["loss_squares"]
