"""The installed package without its checkout: `make test-wheel` runs this in another folder."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import furiosa_models
from furiosa_models import get_model, list_models
from furiosa_models.labels import load_labels
from furiosa_models.ops import native
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

pytestmark = pytest.mark.installed

SITE = Path(sysconfig.get_path("purelib"))
FROM_WHEEL = os.environ.get("FURIOSA_MODELS_FROM_WHEEL") == "1"


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo, with a separate cache for the test."""
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(tmp_path / "cache"))
    rows, columns = np.mgrid[:240, :320]
    pixels = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.mark.skipif(not FROM_WHEEL, reason="this is the checkout, not an installed wheel")
def test_package_and_native_module_are_the_installed_ones() -> None:
    for module in (furiosa_models, native.load()):
        assert module.__file__ is not None
        assert SITE in Path(module.__file__).parents


@pytest.mark.skipif(not FROM_WHEEL, reason="an editable install has no copies of the data")
def test_wheel_contains_the_data_and_no_tests() -> None:
    files = {str(path) for path in importlib.metadata.files("furiosa-model-zoo") or ()}
    page = [f"serving/page/{name}" for name in ("index.html", "page.js", "samples/rocket.jpg")]
    for name in ("artifacts/zoo.json", "py.typed", "_native.pyi", "labels/coco91.txt", *page):
        assert f"furiosa_models/{name}" in files
    assert any("quantization/ranges/" in name for name in files)
    assert any(name.endswith("LICENSE") for name in files)
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in files)


def test_command_lists_and_predicts(photo: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "furiosa-models"
    listed = subprocess.run([command, "list"], capture_output=True, text=True, check=True)
    assert all(name in listed.stdout for name in list_models())
    arguments = ["predict", "EfficientNetLite0", "--weights", "random", "--json", str(photo)]
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["photos"][0]["results"]) == 5


def test_rust_and_python_give_the_same_results(photo: Path) -> None:
    results = [
        SSDMobileNet("random", postprocessor_type=platform).predict(photo, device="cpu")
        for platform in ("rust", "python")
    ]
    assert len(results[0]) > 0
    np.testing.assert_allclose(results[0].boxes, results[1].boxes, atol=1e-3)


def test_labels_and_metadata_are_included() -> None:
    assert len(load_labels("imagenet1k")) == 1000
    assert all(get_model(name).metadata for name in list_models())
    assert EfficientNetLite0("random").labels[0]


def test_torch_is_not_needed() -> None:
    code = "import sys, furiosa_models.vision; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
