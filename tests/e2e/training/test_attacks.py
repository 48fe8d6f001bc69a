"""Data, arguments and machines that training does not expect."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from furiosa_models import Classifier, Detector
from furiosa_models.data import LabeledPhoto, Objects
from furiosa_models.errors import (
    ConfigurationError,
    DatasetError,
    FuriosaModelsError,
    ImageError,
    TrainingError,
    WeightsError,
)

from .scenes import COLORS, args, boxes, classifier, losses, squares, ssd, yolo

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:the data set has errors:UserWarning"),
]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("training")]


@pytest.mark.parametrize("workers", [0, 3])
def test_an_unreadable_photo_in_the_middle_is_named(tmp_path: Path, workers: int) -> None:
    photos = squares(tmp_path / "data", 2)
    (tmp_path / "data" / "blue" / "5.png").write_bytes(b"\x89PNG broken")
    val = replace(photos, photos=photos.photos[:4])
    model = classifier()
    before = model.origin
    with pytest.raises(ImageError, match=r"5\.png"):
        model.train(args(tmp_path / "run", 20, workers=workers), photos, val)
    assert not threads()
    assert model.origin == before


def test_an_unreadable_validation_photo_is_named(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    val = squares(tmp_path / "val")
    val[2].path.unlink()
    with pytest.raises(ImageError, match=r"2\.png"):
        classifier().train(args(tmp_path / "run", 2), photos, val)


@pytest.mark.parametrize("make", [ssd, yolo])
def test_photos_without_objects_are_learned(tmp_path: Path, make: Any) -> None:
    photos = boxes(tmp_path / "data")
    empty = tuple(replace(photo, objects=Objects()) for photo in photos[1:])
    model = make()
    data = replace(photos, photos=(photos[0], *empty))
    trained = model.train(args(tmp_path / "run", 3), data, photos)
    assert all(np.isfinite(list(row.values())).all() for row in losses(tmp_path / "run"))
    assert trained.iterations == 3


def test_photos_of_one_pixel_are_photos(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    for photo, color in zip(photos, COLORS.values(), strict=True):
        Image.new("RGB", (1, 1), color).save(photo.path)
    run = tmp_path / "run"
    classifier().train(args(run, 3, augmentations=None, samples=4), photos, photos)
    assert len(losses(run)) == 3
    objects = Objects(np.array([[0, 0, 1, 1]], np.float32), np.array([0]))
    dots = [LabeledPhoto(photo.path, i, (1, 1), objects=objects) for i, photo in enumerate(photos)]
    data = replace(boxes(tmp_path / "boxes"), photos=tuple(dots))
    yolo().train(args(tmp_path / "dots", 3, augmentations=None, samples=4), data, data)


def test_a_batch_may_be_larger_than_the_data_set_and_val_one_photo(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    val = replace(photos, photos=photos.photos[:1])
    run = args(tmp_path / "run", 2, batch_size=11)
    trained = classifier().train(run, photos, val)
    assert trained.best["top-1"] in (0.0, 1.0)


def test_class_names_may_be_unicode_and_equal_but_for_case(tmp_path: Path) -> None:
    names = ("Läden", "läden", "🐱", "猫 & <b>")
    photos = replace(squares(tmp_path / "data"), classes=names)
    model = classifier()
    model.train(args(tmp_path / "run", 1), photos, photos)
    assert model.labels == names
    assert Classifier(tmp_path / "run").labels == names


def test_other_classes_in_the_validation_photos_are_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    other = replace(photos, classes=("red", "blue", "green", "pink"))
    with pytest.raises(DatasetError, match="same in the same order"):
        classifier().train(args(tmp_path / "run", 1), photos, other)
    assert not (tmp_path / "run").exists()


def test_empty_data_sets_are_errors(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    empty = replace(photos, photos=())
    for parts, name in (((empty, photos), "training"), ((photos, empty), "validation")):
        with pytest.raises(DatasetError, match=f"the {name} set .* contains no photo"):
            classifier().train(args(tmp_path / "run", 1), *parts)


def test_labels_for_another_task_are_errors(tmp_path: Path) -> None:
    photos, objects = squares(tmp_path / "data"), boxes(tmp_path / "boxes")
    with pytest.raises(DatasetError, match="is for detection, the model for classification"):
        classifier().train(args(tmp_path / "run", 1), objects, objects)
    with pytest.raises(DatasetError, match="is for classification, the model for detection"):
        yolo().train(args(tmp_path / "run", 1), photos, photos)


def test_what_is_wrong_with_the_data_is_reported(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    val = replace(photos, photos=photos.photos[:2])
    run = tmp_path / "run"
    with pytest.warns(UserWarning, match="2 photos are both in train and in val"):
        classifier().train(args(run, 1), photos, val)
    assert "both in train and in val" in (run / "data_report.txt").read_text()


def test_an_unlabeled_photo_is_named(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    unlabeled = replace(photos[1], class_id=None)
    data = replace(photos, photos=(photos[0], unlabeled, *photos[2:]))
    with pytest.raises(DatasetError, match=r"1\.png has no labels"):
        classifier().train(args(tmp_path / "run", 3), data, photos)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_gpus": 3, "device": "auto"}, "num_gpus is 3, but there are 0 GPUs"),
        ({"num_gpus": 3, "device": "cuda"}, "num_gpus is 3, but there are 0 GPUs"),
        ({"device": "cuda"}, "device is 'cuda', but there are 0 GPUs"),
        ({"device": "cuda:7"}, "device is 'cuda:7', but there are 0 GPUs"),
        ({"size_divisibility": 48}, "64 x 64, is not a multiple of size_divisibility, 48"),
        ({"sync_to_hub": True}, "sync_to_hub"),
        ({"optimizer_extra": {"betaz": 1}}, "optimizer_extra does not fit ADAMW"),
    ],
)
def test_arguments_that_do_not_fit_the_machine_or_model_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    photos = squares(tmp_path / "data")
    with pytest.raises(ValueError, match=message):
        classifier().train(args(tmp_path / "run", 1, **values), photos, photos)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    run = args(tmp_path / "run", 30, learning_rate=1e30, optimizer="SGD")
    with pytest.raises(TrainingError, match=r"loss of iteration \d+ is not finite .*loss_class"):
        classifier().train(run, photos, photos)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(TrainingError, match="locked"):
        classifier().train(args(tmp_path / "locked" / "run", 1), photos, photos)


def test_a_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(TrainingError, match="file"):
            classifier().train(args(folder, 1), photos, photos)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_truncated_checkpoint_of_a_saved_model_is_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    folder = classifier().save(tmp_path / "saved")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    model = Classifier(folder)
    assert model.predict(photos[0].path).labels
    with pytest.raises(WeightsError):
        model.train(args(tmp_path / "run", 1), photos, photos)


@pytest.mark.parametrize(("make", "data"), [(yolo, boxes), (classifier, squares), (ssd, boxes)])
def test_a_run_starts_from_a_checkpoint_file(tmp_path: Path, make: Any, data: Any) -> None:
    photos = data(tmp_path / "data")
    trainer = make()
    trainer.train(args(tmp_path / "first", 3), photos, photos)
    expected = torch.load(tmp_path / "first" / "model_final.pth", weights_only=True)["model"]
    for name in ("model_final.pth", "model.safetensors"):
        run = args(
            tmp_path / name.partition(".")[2],
            1,
            learning_rate=0.0,
            freeze_bn=True,
            init_checkpoint=tmp_path / "first" / name,
        )
        trained = make().train(run, photos, photos)
        checkpoint = trained.trainable.checkpoint
        assert checkpoint is not None
        for key, tensor in expected.items():
            np.testing.assert_array_equal(checkpoint.arrays[key], tensor.numpy(), err_msg=key)
        opened = make(weights=tmp_path / "first" / name, labels=trainer.labels)
        results = [model.predict([photo.path for photo in photos]) for model in (opened, trainer)]
        assert results[0] == results[1]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.pth", None, "must be a file, but there is none"),
        ("other.txt", b"", "init_checkpoint must be one of .*, got 'other.txt'"),
        ("broken.pth", b"nothing", r"broken\.pth"),
        ("broken.safetensors", b"\xff" * 40, r"broken\.safetensors"),
    ],
)
def test_an_initial_checkpoint_that_cannot_be_read_is_an_error(
    tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    photos = squares(tmp_path / "data")
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises((ConfigurationError, WeightsError), match=message):
        classifier().train(
            args(tmp_path / "run", 1, init_checkpoint=tmp_path / name), photos, photos
        )


def test_a_checkpoint_of_another_network_is_an_error(tmp_path: Path) -> None:
    photos = squares(tmp_path / "data")
    torch.save({"model": {"unknown.weight": torch.ones(3)}}, tmp_path / "other.pth")
    run = args(tmp_path / "run", 1, init_checkpoint=tmp_path / "other.pth")
    with pytest.raises(ConfigurationError, match="has none of the .* arrays of this network"):
        classifier().train(run, photos, photos)


def test_a_table_of_labels_with_a_background_keeps_its_place(tmp_path: Path) -> None:
    """The loss, the results and the evaluation count the classes in the same way."""
    photos = squares(tmp_path / "data")
    params = {"image_size": 64, "num_classes": 3}
    from furiosa_models import networks

    program = networks.build("mobilenet_v2", networks.RandomWeights(), **params)
    labels = ["background", "one", "two"]
    model = Classifier(networks.to_bytes(program), labels=labels)
    run = args(tmp_path / "run", 60, eval_period=20, learning_rate=1e-3)
    trained = model.train(run, photos, photos)
    assert trained.best["top-1"] == 1.0
    names = [model.predict(photo.path).labels[0] for photo in photos]
    assert names == [*photos.classes]


def test_a_run_that_ended_in_its_first_iteration_is_resumed(tmp_path: Path) -> None:
    photos, run = boxes(tmp_path / "data"), tmp_path / "run"

    def loss(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        yolo().train(args(run, 2), photos, photos, loss=loss)
    assert not threads()
    with pytest.raises(FuriosaModelsError):
        _ = Detector(run).origin
    assert yolo().train(args(run, 2, resume=True), photos, photos).iterations == 2
    assert Detector(run).labels == photos.classes
