from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from furiosa_models.data import read_dataset
from furiosa_models.enums import DatasetLayout
from furiosa_models.errors import DatasetError

from .made import write_coco, write_photo, write_photos, write_voc_labels, write_yolo_labels


def test_an_unknown_folder_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    write_photos(tmp_path)
    with pytest.raises(DatasetError, match=r"no labels in a known layout: looked for .*data.yaml"):
        read_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"looked for data.yaml, or images/ with labels/ \(yolo"):
        read_dataset(tmp_path, layout=DatasetLayout.YOLO)
    with pytest.raises(DatasetError, match="does not exist: expected a folder"):
        read_dataset(tmp_path / "nowhere")


def test_labels_in_two_layouts_are_ambiguous(tmp_path: Path) -> None:
    write_photos(tmp_path / "images")
    write_yolo_labels(tmp_path / "labels")
    write_coco(tmp_path / "instances.json")
    with pytest.raises(DatasetError, match="several layouts, yolo and coco: pass layout="):
        read_dataset(tmp_path)
    for layout in (DatasetLayout.COCO, DatasetLayout.YOLO):
        assert read_dataset(tmp_path, layout=layout).layout is layout
    assert read_dataset(tmp_path, layout="coco").layout is DatasetLayout.COCO


def test_the_catalog_has_data_sets_of_any_layout(tmp_path: Path) -> None:
    write_photos(tmp_path)
    write_voc_labels(tmp_path)
    assert read_dataset(tmp_path, layout="catalog").layout is DatasetLayout.VOC


@pytest.mark.parametrize("name", ["x.xml", "x.txt", "x", "x.jpg"])
def test_other_files_are_no_labels(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(DatasetError, match="is no file of labels: expected .json"):
        read_dataset(tmp_path / name)


def test_the_layout_of_a_file_is_checked(tmp_path: Path) -> None:
    write_photos(tmp_path)
    with pytest.raises(DatasetError, match="has the layout coco, expected yolo"):
        read_dataset(write_coco(tmp_path / "x.json"), layout="yolo")
    with pytest.raises(DatasetError, match="expected labels for classification"):
        read_dataset(tmp_path / "x.json", task="classification")
    with pytest.raises(ValueError, match="nolo"):
        read_dataset(tmp_path / "x.json", layout="nolo")
    with pytest.raises(DatasetError, match="unknown split 'nolo'"):
        read_dataset(tmp_path / "x.json", split="nolo")
    with pytest.raises(DatasetError, match="is not split into parts, expected a part val"):
        read_dataset(tmp_path / "x.json", split="val")


def test_a_folder_of_photos_is_refused_where_the_labels_tell_it(tmp_path: Path) -> None:
    write_photo(tmp_path / "data" / "ant" / "a.jpg")
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="tells where its photos are: leave out images="):
        read_dataset(tmp_path / "data", images=tmp_path / "other")
    assert len(read_dataset(tmp_path / "data", images=tmp_path / "data")) == 1


def test_a_folder_of_annotation_files_may_be_elsewhere(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    write_coco(tmp_path / "labels" / "instances.json")
    (tmp_path / "labels" / "README.txt").write_text("no labels")
    photos = read_dataset(tmp_path / "labels", images=tmp_path / "photos")
    assert all(photo.path.is_file() for photo in photos)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_an_error(tmp_path: Path) -> None:
    write_photo(tmp_path / "ant" / "a.jpg")
    (tmp_path / "ant").chmod(0)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b"])
def test_impossible_names_are_an_error(name: str) -> None:
    with pytest.raises(DatasetError, match="cannot be read|does not exist"):
        read_dataset(name)


def test_pipes_are_not_read(tmp_path: Path) -> None:
    write_photos(tmp_path)
    write_voc_labels(tmp_path)
    (tmp_path / "b.xml").unlink()
    os.mkfifo(tmp_path / "b.xml")
    with pytest.raises(DatasetError, match="b.xml cannot be read: it is not a file"):
        read_dataset(tmp_path)


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    write_photos(tmp_path / "images")
    (tmp_path / "data.yaml").write_text("val: images\n\tnames: [cat]\n")
    with pytest.raises(DatasetError, match=r"data.yaml is not the data.yaml of a YOLO data set"):
        read_dataset(tmp_path)


def test_several_files_of_labels_are_ambiguous(tmp_path: Path) -> None:
    write_photos(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("val: .\n")
    with pytest.raises(DatasetError, match="several YOLO data sets \\(a.yaml, b.yaml\\)"):
        read_dataset(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").unlink()
        (tmp_path / f"{name}.csv").write_text("file,label\na.jpg,cat\n")
    with pytest.raises(DatasetError, match="several tables of labels \\(a.csv, b.csv\\)"):
        read_dataset(tmp_path)


def test_pipes_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    write_photo(tmp_path / "ant" / "a.jpg")
    for name in ("x.json", "x.csv", "x.yaml"):
        os.mkfifo(tmp_path / name)
    assert read_dataset(tmp_path).layout is DatasetLayout.CLS_FOLDER


def test_files_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    write_photos(tmp_path)
    write_voc_labels(tmp_path)
    with (tmp_path / "b.xml").open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(DatasetError, match="b.xml cannot be read: it has 33554432 bytes, expected"):
        read_dataset(tmp_path)


def test_a_part_without_photos_is_an_error(tmp_path: Path) -> None:
    write_photo(tmp_path / "train" / "ant" / "a.jpg")
    (tmp_path / "val" / "ant").mkdir(parents=True)
    with pytest.raises(DatasetError, match="has no part val, only train"):
        read_dataset(tmp_path, split="val")


def test_labels_for_another_task_are_not_taken_for_class_folders(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for part, name in (("images", "1.png"), ("labels", "1.txt")):
            (tmp_path / split / part).mkdir(parents=True)
            if part == "images":
                Image.new("RGB", (8, 8)).save(tmp_path / split / part / name)
            else:
                (tmp_path / split / part / name).write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("train: train\nval: valid\nnames: [box]\n")
    assert read_dataset(tmp_path, split="train").classes == ("box",)
    with pytest.raises(DatasetError, match="has labels for detection or .*expected labels for cl"):
        read_dataset(tmp_path, split="train", task="classification")
