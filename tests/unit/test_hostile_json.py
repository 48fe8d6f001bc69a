"""Hostile JSON: documents too deep or too long for Python raise the package's errors."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from furiosa_models.data import read_dataset
from furiosa_models.errors import FuriosaModelsError, LabelsError, WeightsError
from furiosa_models.labels import read_labels
from furiosa_models.saved import read_saved

DEEP = ["[" * 100_000, '{"a":' * 100_000]


@pytest.mark.parametrize("text", [*DEEP, '{"' + "9" * 5000 + '": "cat"}'], ids=range(3))
def test_hostile_labels_raise_labels_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(LabelsError, match="contain no names"):
        read_labels(path)


@pytest.mark.parametrize("text", ["names: " + "[" * 9000, "names: " + "{a: " * 9000], ids=range(2))
def test_deep_yaml_labels_are_rejected_quickly(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(LabelsError, match="contain no names"):
        read_labels(path)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", DEEP, ids=range(2))
def test_hostile_annotations_and_saved_models_are_errors(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model_info.json"
    path.write_text(text)
    with pytest.raises(FuriosaModelsError, match="is not a COCO annotation file"):
        read_dataset(path)
    with pytest.raises(WeightsError, match="does not describe a saved model"):
        read_saved(tmp_path)
