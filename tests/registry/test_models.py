"""Requirements for every model of the catalog; new models are tested automatically."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from furiosa_models import get_model, list_models
from furiosa_models.artifacts import zoo
from furiosa_models.networks import signature
from furiosa_models.types import Platform
from furiosa_models.vision import __all__ as vision_names

MODELS = list_models()
BRING_YOUR_OWN = {"RTDETR", "YOLOv5n"}  # in no package, and published without a digest
# Random weights give boxes without an area, and joints with middling scores.
EMPTY_AT_RANDOM = {"MoveNetMultiPose", "MoveNetThunder", "PoseNet"}
NEVER_MEASURED = {("YOLOv7w6Pose", "published")}  # 0.10 states no accuracy for it


def test_catalog_and_package_have_the_same_names() -> None:
    assert sorted(vision_names, key=str.lower) == MODELS
    assert list(zoo()) == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_metadata_is_complete(name: str) -> None:
    model = get_model(name)
    assert model.name
    assert model.family
    assert model.version
    assert model.metadata is not None
    assert model.metadata.description
    assert type(model).__doc__
    assert bool(model.available_weights()) != (name in BRING_YOUR_OWN)


@pytest.mark.parametrize("name", MODELS)
def test_catalog_entry_matches_the_class(name: str) -> None:
    entry, model = zoo()[name], get_model(name)
    assert entry.task is model.task_type
    assert (entry.class_name, entry.name) == (name, model.name)
    assert (entry.family, entry.version) == (model.family, model.version)
    assert entry.metadata == model.metadata
    assert entry.summary == (type(model).__doc__ or "").splitlines()[0]
    assert model.platforms == (Platform.RUST, Platform.PYTHON)  # as in `furiosa-models list`


@pytest.mark.parametrize("name", MODELS)
def test_every_set_states_its_license_and_its_accuracy(name: str) -> None:
    for artifact in zoo()[name].sets.values():
        assert artifact.license.origin, artifact.weights
        assert bool(artifact.accuracy) != ((name, artifact.weights) in NEVER_MEASURED)
        assert artifact.files, artifact.weights


@pytest.mark.parametrize("name", MODELS)
def test_every_set_fits_the_model(name: str) -> None:
    model: Any = get_model(name)
    for artifact in zoo()[name].sets.values():
        assert set(artifact.input) <= {field.name for field in fields(model.input)}
        assert set(artifact.head) <= {field.name for field in fields(model.head)}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_runs_from_photo_to_result(name: str, photos: list[Path]) -> None:
    model: Any = get_model(name, weights="random")
    onnx.checker.check_model(model.origin, full_check=True)
    inputs, _ = signature(model.origin)
    assert inputs[0].shape[1:] == (3, *model.input.size)
    tensor, _ = model.preprocess(photos[:2])
    assert (tensor.shape[0], tensor.dtype) == (2, np.uint8)
    # Networks with random weights detect objects everywhere: keep the best scores.
    thresholds = {"score_threshold": 0.8, "iou_threshold": 0.1}
    options = {k: v for k, v in thresholds.items() if k in model.vision_task.options}
    for platform, count in ((Platform.RUST, 2), (Platform.PYTHON, 1)):  # both run the same program
        model = get_model(name, weights="random", postprocessor_type=platform)
        results = model.predict(photos[:count], device="cpu", **options)
        assert len(results) == count
        assert len(results[0].to_dict()) > 0 or name in EMPTY_AT_RANDOM
        with Image.open(photos[0]) as photo:
            assert results[0].plot().size == photo.size
