from __future__ import annotations

from pathlib import Path

import pytest

from furiosa_models.data import (
    Augmenter,
    DatasetAugmentations,
    DictDataset,
    LabeledPhotos,
    MapDataset,
    read_dataset,
)
from furiosa_models.data.arguments import labeled_parts, own_augment, training_parts
from furiosa_models.data.arguments import test_part as find_test_part  # pytest would run it
from furiosa_models.enums import Task
from furiosa_models.errors import DatasetError

from .made import write_photo


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    for name in ("train/ant/1.jpg", "val/bee/2.jpg", "test/ant/3.jpg"):
        write_photo(tmp_path / "animals" / name)
    return tmp_path / "animals"


def names(*parts: LabeledPhotos | None) -> list[list[str]]:
    return [[photo.path.name for photo in part or ()] for part in parts]


def test_training_needs_a_validation_part(animals: Path) -> None:
    task = Task.CLASSIFICATION
    assert names(*training_parts(animals, None, task)) == [["1.jpg"], ["2.jpg"]]
    train = read_dataset(animals, split="train")
    assert names(*training_parts(train, str(animals / "test"), task)) == [["1.jpg"], ["3.jpg"]]
    labels = DictDataset(train)
    assert training_parts(labels, MapDataset(labels), task) == (train, train)
    for data in (train, animals / "test"):
        with pytest.raises(DatasetError, match="has no validation part: pass data_val"):
            training_parts(data, None, task)
    with pytest.raises(DatasetError, match="or a data set, got int"):
        training_parts(5, 5, task)


def test_a_head_may_be_fitted_without_a_validation_part(animals: Path) -> None:
    task = Task.CLASSIFICATION
    assert names(*labeled_parts(animals, None, task)) == [["1.jpg"], ["2.jpg"]]
    assert labeled_parts(animals / "test", None, task)[1] is None
    assert labeled_parts(read_dataset(animals / "test"), None, task)[1] is None


def test_the_test_part_is_preferred_to_the_validation_part(animals: Path) -> None:
    assert names(find_test_part(animals, Task.CLASSIFICATION)) == [["3.jpg"]]
    (animals / "test" / "ant" / "3.jpg").unlink()
    assert names(find_test_part(animals, Task.CLASSIFICATION)) == [["2.jpg"]]


def test_a_data_set_of_focoos_brings_its_augmentations(animals: Path) -> None:
    labels = DictDataset(read_dataset(animals, split="train"))
    augmenter = Augmenter(DatasetAugmentations())
    assert own_augment(MapDataset(labels, augmenter)) is augmenter
    assert own_augment(MapDataset(labels)) is None
    assert own_augment(animals) is None
