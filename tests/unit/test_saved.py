"""Saving, quantizing and loading of models."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import Classifier, Detector
from furiosa_models.errors import FuriosaModelsError, LabelsError, WeightsError
from furiosa_models.heads import BoxesHead
from furiosa_models.saved import SavedParts, read_saved, write_saved
from furiosa_models.spec import ImageInput, ModelSpec
from furiosa_models.training.trainable import trainable_of
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet, YOLOv5n


@pytest.fixture(scope="module")
def classifier() -> EfficientNetLite0:
    return EfficientNetLite0("random")


def test_saved_model_is_read_back_bit_for_bit(photos: list[Path], tmp_path: Path) -> None:
    model = SSDMobileNet("random", head={"score_threshold": 0.5})
    expected = model.predict(photos[0], device="cpu")
    folder = model.save(tmp_path / "new" / "saved")
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.onnx",
        "model.safetensors",
        "model_final.pth",
        "model_info.json",
    ]
    for cls in (SSDMobileNet, Detector):
        copy = cls(folder)
        assert copy.origin == model.origin
        assert (copy.labels, copy.input, copy.head) == (model.labels, model.input, model.head)
        found = copy.predict(photos[0], device="cpu")
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        assert found == expected


def test_saved_model_has_the_fields_of_model_info(
    classifier: EfficientNetLite0, tmp_path: Path
) -> None:
    info = json.loads((classifier.save(tmp_path / "saved") / "model_info.json").read_text())
    fields = "name model_family classes im_size task config ref focoos_model status description "
    fields += "train_args weights_uri val_dataset val_metrics focoos_version latency training_info "
    assert set(info) == {*fields.split(), "updated_at"}
    assert (info["task"], info["im_size"], len(info["classes"])) == (
        "classification",
        [224] * 2,
        1000,
    )


def test_task_that_contradicts_the_head_is_rejected(
    classifier: EfficientNetLite0, tmp_path: Path
) -> None:
    path = classifier.save(tmp_path / "saved") / "model_info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "task": "detection"}))
    with pytest.raises(WeightsError, match="has the task 'detection', but its head"):
        read_saved(path.parent)
    path.write_text(json.dumps({**info, "task": None}))  # written by another program
    assert read_saved(path.parent).description.class_name == "EfficientNetLite0"


def test_save_rejects_a_folder_that_is_not_empty(
    classifier: EfficientNetLite0, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FuriosaModelsError, match="already exists"):
        classifier.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (
        read_saved(classifier.save(tmp_path / "empty")).description.class_name
        == "EfficientNetLite0"
    )


def test_saved_model_of_another_class_is_an_error(
    classifier: EfficientNetLite0, tmp_path: Path, photos: list[Path]
) -> None:
    folder = classifier.save(tmp_path / "saved")
    with pytest.raises(WeightsError, match="contains a EfficientNetLite0, not a YOLOv5n"):
        YOLOv5n(folder).predict(photos[0])
    assert Classifier(folder).predict(photos[0]) == classifier.predict(photos[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights_uri": "../x.onnx"}, "not in its folder"),
        ({"weights_uri": "gone.onnx"}, "not in its folder"),
        ({"config": {}}, "does not describe a saved model"),
        ({"config": {"class": "X", "input": {}, "head": {"type": "os"}}}, "does not describe"),
        ({"classes": None}, "does not describe a saved model"),
    ],
)
def test_invalid_description_is_an_error(
    classifier: EfficientNetLite0, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = classifier.save(tmp_path / "saved") / "model_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match=said):
        read_saved(path.parent)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("input", "pad_value", None),
        ("input", "pad_value", 300),
        ("input", "size", [64.5, 64]),
        ("input", "resize_to", "x"),
        ("head", "boxes", "0"),
        ("head", "boxes", True),
        ("head", "scores", [0]),
        ("head", "objectness", "yes"),
        ("head", "unit", ["pixels"]),
        ("head", "score_threshold", 2),
        ("head", "score_threshold", float("nan")),
        ("head", "max_detections", -1),
        ("head", "max_candidates", 10**40),
    ],
)
def test_fields_of_a_wrong_type_are_rejected(
    tmp_path: Path, part: str, name: str, value: object
) -> None:
    """Before, they were accepted, and predictions failed with errors of Python or NumPy."""
    spec = ModelSpec(None, ImageInput(size=(64, 64)), BoxesHead((64, 64)))
    folder = write_saved(
        tmp_path / "saved", SavedParts(b"ONNX", spec, ("a",), {"config": {"class": "X"}})
    )
    assert read_saved(folder).description.head == spec.head
    info = json.loads((folder / "model_info.json").read_text())
    info["config"][part][name] = value
    (folder / "model_info.json").write_text(json.dumps(info))
    with pytest.raises(WeightsError, match=f"does not describe a saved model: .*{name}"):
        read_saved(folder)


def test_invalid_weights_uri_is_an_error(tmp_path: Path) -> None:
    spec = ModelSpec(None, ImageInput(size=(64, 64)), BoxesHead((64, 64)))
    folder = write_saved(
        tmp_path / "saved", SavedParts(b"ONNX", spec, ("a",), {"config": {"class": "X"}})
    )
    info = json.loads((folder / "model_info.json").read_text())
    for uri in ("a\0b", "../saved/model.onnx", str(folder / "model.onnx"), "", None, 3):
        (folder / "model_info.json").write_text(json.dumps({**info, "weights_uri": uri}))
        with pytest.raises(WeightsError, match="model_info.json (does not|names the weights)"):
            read_saved(folder)


def test_files_of_a_saved_model_may_be_links(
    classifier: EfficientNetLite0, photos: list[Path], tmp_path: Path
) -> None:
    folder, links = classifier.save(tmp_path / "saved"), tmp_path / "links"
    links.mkdir()
    for path in folder.iterdir():
        (links / path.name).symlink_to(path)
    assert Classifier(links).predict(photos[0]) == classifier.predict(photos[0])


def test_quantize_gives_a_report_and_a_model(
    classifier: EfficientNetLite0, photos: list[Path], tmp_path: Path
) -> None:
    results = classifier.predict(photos)
    rows = [f"{path.name},{found.class_id}" for path, found in zip(photos, results, strict=True)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["file,class_index", *rows]))
    int8 = classifier.quantize(photos, labels=labels, images=photos[0].parent)
    report = int8.quantization
    assert report is not None
    assert report.photos == len(photos)
    assert report.size_after < report.size_before / 2
    assert report.accuracy_before == {"top-1": 1.0, "top-5": 1.0}
    assert (report.accuracy_after or {})["top-5"] >= 0.6
    assert "calibrated on 5 photos" in str(report)
    assert isinstance(int8, EfficientNetLite0)
    assert classifier.quantization is None
    found = int8.predict(photos[0])
    saved = int8.save(tmp_path / "saved")
    assert EfficientNetLite0(saved).predict(photos[0]) == found
    assert pickle.loads(pickle.dumps(int8)).predict(photos[0]) == found


def test_quantize_needs_photos(classifier: EfficientNetLite0) -> None:
    with pytest.raises(FuriosaModelsError, match="at least one calibration photo"):
        classifier.quantize([])
    with pytest.raises(ValueError, match="unknown calibration method 'BEST'"):
        classifier.quantize([], method="BEST")


def test_labels_of_a_user_graph(classifier: EfficientNetLite0, photos: list[Path]) -> None:
    graph = classifier.origin
    assert Classifier(graph).labels[:2] == ("class_0", "class_1")
    names = [f"name {i}" for i in range(1000)]
    found = Classifier(graph, labels=names).predict(photos[0])
    assert found.label == f"name {found.class_id}"
    with pytest.raises(LabelsError, match="1000 classes, but there are 2 labels"):
        Classifier(graph, labels=["a", "b"]).predict(photos[0])
    shifted = Classifier(graph, labels=names[1:])  # the first class is the background
    assert "name 0" not in shifted.labels


def test_threshold_for_each_class(photos: list[Path]) -> None:
    model = SSDMobileNet("random")
    plain = model.predict(photos[0], score_threshold=0.5)
    label = plain.labels[0]
    high = model.predict(photos[0], score_threshold={label: 1.0, None: 0.5})
    assert high == [item for item in plain if item.label != label]
    assert plain.filter(labels=[label]) == [item for item in plain if item.label == label]
    assert plain[plain.scores > 0.8] == plain.filter(min_score=0.8)
    with pytest.raises(ValueError, match="under the key None"):
        model.predict(photos[0], score_threshold={label: 0.6})
    with pytest.raises(ValueError, match=r"does not have: \['unicorn'\]"):
        model.predict(photos[0], score_threshold={"unicorn": 0.6, None: 0.5})


HOSTILE_PARAMS: list[dict[str, Any]] = [
    {"variant": "b9"},
    {"variant": ["b0"]},
    {"variant": None},
    {"unknown": 1},
    {"image_size": "large"},
    {"image_size": [64, 64, 64]},
    {"__class__": 1},
    {"": 1},
]


@pytest.mark.parametrize("params", HOSTILE_PARAMS, ids=str)
def test_hostile_arguments_of_the_network_are_weights_errors(
    classifier: EfficientNetLite0, tmp_path: Path, params: dict[str, Any]
) -> None:
    folder = classifier.save(tmp_path / "saved")
    path = folder / "model_info.json"
    info = json.loads(path.read_text())
    info["config"]["network"]["params"] = params
    path.write_text(json.dumps(info))
    model = Classifier(folder)
    assert len(model.labels) == 1000  # the graph is there, and runs
    with pytest.raises(WeightsError, match="does not describe the network of model.safetensors"):
        model.save(tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("count", ["many", None, 5, -1, 10**12])
def test_another_number_of_classes_than_the_checkpoint_has_is_a_weights_error(
    classifier: EfficientNetLite0, tmp_path: Path, count: Any
) -> None:
    folder = classifier.save(tmp_path / "saved")
    path = folder / "model_info.json"
    info = json.loads(path.read_text())
    info["config"]["network"]["params"]["num_classes"] = count
    path.write_text(json.dumps(info))
    with pytest.raises(WeightsError, match=r"_fc\.weight.*expected float32"):
        trainable_of(b"", read_saved(folder).checkpoint())


@pytest.mark.parametrize("network", ["resnet", "", {"name": "resnet"}, {"params": {}}, [], 1])
def test_a_malformed_network_is_a_weights_error(
    classifier: EfficientNetLite0, tmp_path: Path, network: Any
) -> None:
    folder = classifier.save(tmp_path / "saved")
    path = folder / "model_info.json"
    info = json.loads(path.read_text())
    info["config"]["network"] = network
    path.write_text(json.dumps(info))
    with pytest.raises(WeightsError, match="does not describe a saved model"):
        read_saved(folder)


def test_an_unknown_network_is_a_weights_error(
    classifier: EfficientNetLite0, tmp_path: Path
) -> None:
    folder = classifier.save(tmp_path / "saved")
    path = folder / "model_info.json"
    info = json.loads(path.read_text())
    info["config"]["network"]["name"] = "../builders"
    path.write_text(json.dumps(info))
    with pytest.raises(WeightsError, match="unknown network '../builders'"):
        read_saved(folder)


def test_a_truncated_checkpoint_is_a_weights_error(
    classifier: EfficientNetLite0, tmp_path: Path
) -> None:
    path = classifier.save(tmp_path / "saved") / "model.safetensors"
    data = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError):
            read_saved(path.parent).checkpoint()
    path.write_bytes((1 << 62).to_bytes(8, "little") + data[8:])
    with pytest.raises(WeightsError):
        read_saved(path.parent).checkpoint()


def test_a_checkpoint_is_read_back_as_it_was(classifier: EfficientNetLite0, tmp_path: Path) -> None:
    found = read_saved(classifier.save(tmp_path / "saved")).checkpoint()
    expected = classifier._weights.checkpoint()
    assert expected is not None
    assert found.network.name == expected.network.name == "efficientnet"
    assert {*found.arrays} == {*expected.arrays}
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
