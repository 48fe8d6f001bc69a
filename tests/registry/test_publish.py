"""The zoo published as a registry, and read back."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from furiosa_models.artifacts import zoo
from furiosa_models.errors import ModelNotFound
from furiosa_models.registry import sync
from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import SSDMobileNet

ROOT = Path(__file__).parents[2]
FIELDS = {"name", "family", "version", "location", "format", "doc", "metadata"}
FURIOSA_ARTIFACTS = {
    "MLCommonsResNet50",
    "EfficientNetV2_S",
    "MLCommonsSSDResNet34",
    "MLCommonsSSDMobilenet",
}


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("publish", ROOT / "artifacts" / "publish.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


publish = load_script()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the models of furiosa-artifacts and seeded random weights."""
    root: Path = tmp_path_factory.mktemp("published") / "registry"
    assert publish.main([str(root), *sorted(FURIOSA_ARTIFACTS), "--weights=random"]) == 0
    return root


def test_descriptor_has_only_the_fields_of_furiosa_artifacts(folder: Path) -> None:
    items = yaml.safe_load((folder / "artifacts.yaml").read_text())["artifacts"]
    assert all(set(item) == FIELDS for item in items)
    assert all(set(item["metadata"]) <= {"description", "publication"} for item in items)
    names = {item["name"] for item in items}
    assert names >= FURIOSA_ARTIFACTS | {"MLCommonsSSDMobileNet", "SSDMobileNet", "ResNet50"}
    files = [path.name for path in (folder / "models").iterdir()]
    assert sorted(files) == [
        "EfficientNetV2s.onnx",
        "ResNet50.onnx",
        "SSDMobileNet.onnx",
        "SSDResNet34.onnx",
    ]


def test_entries_include_the_models_of_furiosa_artifacts() -> None:
    names = {
        entry["name"]
        for model in zoo().values()
        for artifact in (None, *model.sets.values())
        for entry in publish.entries(model, artifact)
    }
    assert names >= FURIOSA_ARTIFACTS


@pytest.mark.parametrize("over", ["file", "http"])
def test_published_registry_is_listed_loaded_and_run(
    folder: Path, serve: Callable[[Path], str], over: str, photos: list[Path]
) -> None:
    name = "MLCommonsSSDMobilenet"
    uri = folder.as_uri() if over == "file" else serve(folder)
    (entry,) = [each for each in sync.list(uri) if each.name == name]
    model = sync.load(uri, name)
    assert (model.version, model.family) == (entry.version, entry.family) == ("v1.1", "MobileNetV1")
    assert "seeded random ones" in sync.help(uri, name)
    assert all(sync.load(uri, each).source for each in FURIOSA_ARTIFACTS)
    own = SSDMobileNet(weights="random")
    assert model.predict(photos[0], device="cpu") == own.predict(photos[0], device="cpu")
    image = np.random.default_rng(0).normal(size=(1, 3, 300, 300)).astype(np.float32)
    with (
        create_runner(model, device="cpu") as ours,
        create_runner(own.origin, device="cpu") as same,
    ):
        for output, expected in zip(ours.run(image), same.run(image), strict=True):
            np.testing.assert_array_equal(output, expected)


def test_document_states_the_source_of_the_weights() -> None:
    model = zoo()["SSDMobileNet"]
    text = publish.document(model, model.sets["depth075"])
    assert "license of the weights: Apache-2.0 (the package says MIT)" in text
    assert "- mAP: 0.1971 (113 photos of COCO val2017" in text
    (entry, *_) = publish.entries(model, model.sets["depth075"])
    assert entry["version"] == "2018_06_29"
    assert "depth multiplier 0.75" in entry["metadata"]["description"]


def test_folder_that_is_not_empty_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        publish.publish(tmp_path, ["SSDMobileNet"], "random")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_unreachable_models_are_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    assert publish.main([str(tmp_path / "zoo"), "SSDResNet34"]) == 1
    assert "skipped SSDResNet34: no set of weights" in capsys.readouterr().err
    assert sync.list(str(tmp_path / "zoo")) == []


@pytest.mark.parametrize(
    "uri", [None, "furiosa_models", "furiosa_models/artifacts"], ids=["default", "package", "room"]
)
def test_package_is_itself_a_registry(uri: str | None) -> None:
    uri = uri and str(ROOT / uri)
    listed = sync.list(uri)
    assert {entry.name for entry in listed} == set(zoo())
    versions = [entry.version for entry in listed if entry.name == "SSDMobileNet"]
    assert versions == ["v1.1", "2018_06_29"]
    assert all((ROOT / "furiosa_models" / entry.location).is_file() for entry in listed)
    assert "the detector of MLPerf" in sync.help(uri, "SSDMobileNet")
    model = sync.load(uri, "MLCommonsSSDMobilenet", weights="random")
    assert isinstance(model, SSDMobileNet)
    assert sync.load(uri, "SSDMobileNet", "2018_06_29").weights == "depth075"
    with pytest.raises(ModelNotFound, match=r"it has SSDMobileNet v1\.1, SSDMobile"):
        sync.load(uri, "SSDMobileNet", "v3")
    with pytest.raises(ModelNotFound, match="did you mean SSDMobileNet"):
        sync.help(uri, "SSDMobilNet")


def test_model_loaded_from_the_package_predicts(photos: list[Path]) -> None:
    with sync.load(None, "SSDMobileNet", weights="random") as model:
        assert model.predict(photos[0], device="cpu", score_threshold=0.9) is not None
