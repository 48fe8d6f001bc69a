"""What users give to a model of their own: it is taken, or refused with the reason."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import Classifier, Detector
from furiosa_models.errors import FuriosaModelsError, LabelsError
from furiosa_models.heads import ClassificationHead
from furiosa_models.labels import given_names
from furiosa_models.runtime.backends import register_backend
from furiosa_models.runtime.backends.onnxruntime import OnnxRuntimeBackend
from furiosa_models.tasks import Detections
from furiosa_models.vision import EfficientNetLite0, SSDMobileNetV2, YOLOv5n


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.onnx"
    path.write_bytes(YOLOv5n(weights="random").origin)
    return path


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_fed_and_read_as_the_model(detector: Path, copied: Any) -> None:
    model = Detector(detector).fitted()
    other = copied(Detector(detector)).fitted()
    assert other.input == model.input
    assert other.input.resize == "letterbox"


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog", "owl"],
        ("cat", "dog", "owl"),
        {0: "cat", 1: "dog", 2: "owl"},
        {2: "owl", 0: "cat", 1: "dog"},
        {"0": "cat", "2": "owl", "1": "dog"},
        {"owl": 2, "cat": 0, "dog": 1},
        OrderedDict({1: "dog", 0: "cat", 2: "owl"}),
        np.array(["cat", "dog", "owl"]),
        (name for name in ("cat", "dog", "owl")),
        {"cat": 0, "dog": 1, "owl": 2}.keys().__iter__(),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_names_in_every_form(labels: Any) -> None:
    assert given_names(labels) == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    "labels", [{"cat", "dog"}, b"coco80", 5, [1, 2], [None], [1.5], [], {"a": "b"}], ids=repr
)
def test_what_is_no_names(labels: Any) -> None:
    with pytest.raises(LabelsError, match="labels are the name of each class in order"):
        Detector("some.onnx", labels=labels)


def test_the_number_of_names_is_checked_for_weights_of_the_catalog() -> None:
    for model, names in ((SSDMobileNetV2, ["a"] * 3), (EfficientNetLite0, ["x"] * 2000)):
        with pytest.raises(LabelsError, match="the network has"):
            _ = model(labels=names).labels


def test_names_without_the_background_are_those_of_the_classes() -> None:
    names = [f"L{i}" for i in range(1, 91)]
    assert SSDMobileNetV2(labels=names).labels == ("background", *names)
    assert SSDMobileNetV2(labels=["nothing", *names]).labels == ("nothing", *names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "x"}, "expected ImageInput or a mapping of its fields, got 'x'"),
        ({"input": {"sizes": 3}}, "ImageInput has no 'sizes'"),
        ({"head": {"foo": 1}}, "YOLOv5Head has no 'foo'"),
        ({"head": 5}, "expected Head or a mapping of its fields, got 5"),
    ],
)
def test_what_is_no_part_of_a_specification(
    detector: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Detector(detector, **options).fitted()


@pytest.mark.parametrize(
    "given",
    [
        {"size": 320},
        {"size": (-1, 2)},
        {"size": (2.5, 2)},
        {"size": "640"},
        {"std": 255},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": "a"},
        {"mean": (float("nan"), 0.0, 0.0)},
        {"std": (1.0, 1.0)},
    ],
    ids=str,
)
def test_numbers_of_the_input_are_checked(detector: Path, given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=rf"^{name} "):
        Detector(detector, input=given).fitted()


def test_a_name_of_two_lines_is_drawn() -> None:
    box, one = np.array([[9, 9, 60, 60]], np.float32), np.array([0])
    found = Detections(box, np.array([0.9], np.float32), one, ["a\nb"])
    assert np.asarray(found.plot(np.zeros((80, 80, 3), np.uint8))).any()


def test_classes_without_a_name_have_one_by_number() -> None:
    box, ids = np.array([[9, 9, 60, 60]], np.float32), np.array([61])
    assert Detections(box, np.array([0.9], np.float32), ids, []).labels == ["class_61"]


def test_a_head_of_another_task_is_refused(detector: Path, tmp_path: Path) -> None:
    with pytest.raises(FuriosaModelsError, match="open it with Detector, Classifier"):
        Detector(detector, head=ClassificationHead()).fitted()
    folder = Detector(detector).save(tmp_path / "saved")
    with pytest.raises(FuriosaModelsError, match="open it with Detector, Classifier"):
        Classifier(folder).fitted()


def test_a_model_without_weights_is_described() -> None:
    assert YOLOv5n().input.size == (640, 640)
    assert len(YOLOv5n().labels) == 80


@pytest.mark.parametrize("name", ["cpu", "npu", "auto", "onnxruntime"])
def test_names_of_devices_are_no_names_of_backends(name: str) -> None:
    with pytest.raises(ValueError, match="give yours another name"):
        register_backend(OnnxRuntimeBackend(), name)
