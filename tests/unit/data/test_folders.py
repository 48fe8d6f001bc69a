from __future__ import annotations

from pathlib import Path

import pytest

from furiosa_models.data import dataset_splits, read_dataset
from furiosa_models.enums import DatasetLayout, DatasetSplitType, Task
from furiosa_models.errors import DatasetError

from .made import write_photo


def classes_of(photos: object) -> dict[str, str]:
    return {p.path.name: photos.classes[p.class_id] for p in photos}  # type: ignore[attr-defined]


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("dog/2.jpg", "cat/1.png", "dog/inner/3.jpg", "dog/notes.txt.jpg", ".hidden/x.jpg"):
        write_photo(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("no photo")
    photos = read_dataset(tmp_path)
    assert photos.layout is DatasetLayout.CLS_FOLDER
    assert photos.task is Task.CLASSIFICATION
    assert photos.classes == ("cat", "dog")
    assert classes_of(photos) == {
        "1.png": "cat", "2.jpg": "dog", "3.jpg": "dog", "notes.txt.jpg": "dog"
    }  # fmt: skip
    assert [photo.image_id for photo in photos] == [0, 1, 2, 3]


def test_a_class_that_a_part_lacks_does_not_change_the_others(tmp_path: Path) -> None:
    for name in ("train/ant/1.jpg", "train/bee/2.jpg", "valid/bee/3.jpg", "valid/cow/4.jpg"):
        write_photo(tmp_path / name)
    assert dataset_splits(tmp_path) == (DatasetSplitType.TRAIN, DatasetSplitType.VAL)
    photos = read_dataset(tmp_path, split="validation")
    assert photos.classes == ("ant", "bee", "cow")
    assert [photo.class_id for photo in photos] == [1, 2]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    write_photo(tmp_path / "elsewhere" / "1.jpg")
    write_photo(tmp_path / "things" / "ant" / "2.jpg")
    (tmp_path / "things" / "ant" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "things" / "ant" / "again").symlink_to(tmp_path / "things" / "ant")
    (tmp_path / "things" / "bee").symlink_to(tmp_path / "elsewhere")
    assert classes_of(read_dataset(tmp_path / "things")) == {"1.jpg": "bee", "2.jpg": "ant"}
    assert len(read_dataset(tmp_path / "things")) == 3


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train/1.jpg", "car/2.jpg"):
        write_photo(tmp_path / name)
    assert classes_of(read_dataset(tmp_path)) == {"2.jpg": "car", "1.jpg": "train"}


def test_other_folders_beside_the_parts_are_no_classes(tmp_path: Path) -> None:
    for name in ("train/ant/1.jpg", "val/ant/3.jpg", "docs/figures/4.jpg"):
        write_photo(tmp_path / name)
    assert read_dataset(tmp_path, split="val").classes == ("ant",)


def test_given_classes_choose_and_order_photos(tmp_path: Path) -> None:
    for name in ("ant/1.jpg", "bee/2.jpg", "wood pecker/3.jpg"):
        write_photo(tmp_path / name)
    photos = read_dataset(tmp_path, classes=["Wood-Pecker", "zebra", "ant"])
    assert [(p.path.name, p.class_id) for p in photos] == [("1.jpg", 2), ("3.jpg", 0)]
    with pytest.raises(DatasetError, match="none of the model's classes"):
        read_dataset(tmp_path, classes=["zebra"])


def test_two_folders_for_one_part_are_ambiguous(tmp_path: Path) -> None:
    for name in ("val/ant/1.jpg", "valid/ant/2.jpg"):
        write_photo(tmp_path / name)
    with pytest.raises(DatasetError, match="two folders for val: val, valid"):
        read_dataset(tmp_path)


def test_class_folders_are_not_for_detection(tmp_path: Path) -> None:
    write_photo(tmp_path / "ant" / "1.jpg")
    with pytest.raises(DatasetError, match="no labels for detection in a known layout"):
        read_dataset(tmp_path, task="detection")
    with pytest.raises(DatasetError, match="labels for classification, expected .* detection"):
        read_dataset(tmp_path, task="detection", layout="cls_folder")
