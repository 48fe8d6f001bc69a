from __future__ import annotations

import pytest

from furiosa_models import InstanceSegmenter, Segmenter, Task, catalog, get_model, list_models
from furiosa_models.artifacts import zoo
from furiosa_models.catalog import aliases, class_for, model_class, register
from furiosa_models.errors import ModelNotFound
from furiosa_models.types import ModelTaskType


def test_models_are_listed_by_glob_and_task() -> None:
    assert list_models() == sorted(zoo(), key=str.lower)
    assert list_models("ssd*") == ["SSDMobileNet", "SSDMobileNetV2", "SSDResNet34"]
    assert "SSDMobileNet" in list_models(task="detect")
    assert "SSDMobileNet" not in list_models(task=ModelTaskType.IMAGE_CLASSIFICATION)
    assert list_models(task="classify") == list_models(task="image_classification")


def test_unknown_task_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="unknown task 'juggle'; known: .*object_detection"):
        list_models(task="juggle")


@pytest.mark.parametrize("name", ["ssd-mobilenet", "SSD_MobileNet", "ssdmobilenet"])
def test_model_names_are_matched_loosely(name: str) -> None:
    assert model_class(name).__name__ == "SSDMobileNet"


@pytest.mark.parametrize(("old", "new"), aliases().items())
def test_old_names_resolve(old: str, new: str) -> None:
    import furiosa_models.vision

    assert getattr(furiosa_models.vision, old) is model_class(new) is model_class(old)


def test_names_of_furiosa_artifacts_and_0_10_are_known() -> None:
    assert model_class("MLCommonsSSDMobilenet") is model_class("SSDMobileNet")
    for name in list_models():
        model = get_model(name)
        assert model_class(model.name) is type(model)


def test_error_for_an_unknown_model_suggests_similar_names() -> None:
    with pytest.raises(ModelNotFound, match="did you mean SSDMobileNet"):
        get_model("SSDMobilNet")
    with pytest.raises(LookupError, match="known: DeepLabV3MobileNetV2"):
        get_model("zzzz")


def test_task_keyword_lists_its_models() -> None:
    assert list_models("detect") == list_models(task="detect") != []
    poses = ["MoveNetMultiPose", "MoveNetThunder", "PoseNet", "YOLOv7w6Pose"]
    assert list_models("pose") == poses
    for word in ("segment", "semantic", "semseg"):
        assert list_models(task=word) == ["DeepLabV3MobileNetV2"]
    assert list_models("matte") == list_models("matting") == ["SelfieSegmentation", "U2NetP"]
    assert list_models("YOLOv5s") == ["YOLOv5s"]
    assert list_models("*pose*") == [name for name in poses if "Pose" in name]
    assert list_models("juggle") == []
    assert list_models("detect", task="pose") == []


def test_notebooks_show_the_models_as_a_table() -> None:
    names = list_models("detect")
    assert names == [*names]
    page = names._repr_html_()
    assert page.count("<tr>") == len(names) + 1
    assert "<th>name</th><th>task</th><th>summary</th><th>weights</th>" in page
    assert all(f"<td>{name}</td>" in page for name in names)


def test_the_word_segment_is_for_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {})
    before = list_models("segment")
    assert "DeepLabV3MobileNetV2" in before
    assert class_for("segment") is Segmenter
    assert class_for("instseg") is class_for("instance_segmentation") is InstanceSegmenter

    class AInstances(InstanceSegmenter):
        """Objects with masks."""

    register(AInstances)
    assert list_models("segment") == ["AInstances", *before]
    assert list_models(task="instseg") == ["AInstances"]
    assert list_models(task=Task.SEMSEG) == before
    assert class_for("segment") is Segmenter
