from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from furiosa_models.data import dataset_splits, read_dataset
from furiosa_models.enums import DatasetLayout, DatasetSplitType, Task
from furiosa_models.errors import DatasetError, FuriosaModelsError

from .made import BOXES, as_rows, write_photo, write_photos, write_yolo_labels

NAMES = "names: [cat, dog]\n"


def write(root: Path, config: str | None, images: str = "images", labels: str = "labels") -> Path:
    write_photos(root / images)
    write_yolo_labels(root / labels)
    if config is not None:
        (root / "data.yaml").write_text(config)
    return root


@pytest.mark.parametrize("names", [NAMES, "names: {0: cat, 1: dog}\n", "names: {1: dog, 0: cat}\n"])
def test_boxes_are_in_pixels(tmp_path: Path, names: str) -> None:
    write(tmp_path, names + "nc: 2\nval: images\n")
    photos = read_dataset(tmp_path)
    assert photos.layout is DatasetLayout.YOLO
    assert photos.task is Task.DETECTION
    assert photos.classes == ("cat", "dog")
    assert as_rows(photos) == BOXES
    assert photos[0].size == (80, 60)
    assert as_rows(read_dataset(tmp_path / "data.yaml")) == BOXES


@pytest.mark.parametrize(
    ("config", "images", "labels"),
    [
        ("path: .\nval: images/val\n", "images/val", "labels/val"),
        ("path: ../datasets/shelf\nval: images/val\n", "images/val", "labels/val"),  # elsewhere
        ("val: ../valid/images\n", "valid/images", "valid/labels"),  # as Roboflow writes it
        ("val: [images/val]\n", "images/val", "labels/val"),
        ("val: photos\n", "photos", "photos"),  # labels beside the photos
        ("val: images\n", "images/inner", "labels/inner"),
    ],
)
def test_folders_are_found(tmp_path: Path, config: str, images: str, labels: str) -> None:
    write(tmp_path, NAMES + config, images, labels)
    assert dataset_splits(tmp_path) == (DatasetSplitType.VAL,)
    assert as_rows(read_dataset(tmp_path, split="val")) == BOXES


def test_absolute_paths_and_lists_of_photos_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "here", None)
    (tmp_path / "here" / "val.txt").write_text("./images/b.jpg\nimages/a.jpg\n\n")
    config = tmp_path / "there.yaml"
    config.write_text(f"{NAMES}path: {tmp_path / 'here'}\ntrain: images\nval: val.txt\n")
    assert as_rows(read_dataset(config, split="val")) == {k: BOXES[k] for k in ("b", "a")}
    assert as_rows(read_dataset(config, split="train")) == BOXES


def test_folders_without_a_configuration_are_recognized(tmp_path: Path) -> None:
    write(tmp_path / "flat", None)
    photos = read_dataset(tmp_path / "flat")
    assert as_rows(photos) == BOXES
    assert photos.classes == ("class_0", "class_1")
    assert read_dataset(tmp_path / "flat", classes=["cat", "dog"]).classes == ("cat", "dog")
    (tmp_path / "flat" / "labels" / "classes.txt").write_text("cat\ndog\n")
    assert read_dataset(tmp_path / "flat").classes == ("cat", "dog")
    write(tmp_path / "split", None, "images/train", "labels/train")
    assert as_rows(read_dataset(tmp_path / "split", split="train")) == BOXES
    write(tmp_path / "inner", None, "train/images", "train/labels")
    assert as_rows(read_dataset(tmp_path / "inner", split="train")) == BOXES
    flat = tmp_path / "flat"
    assert as_rows(read_dataset(flat / "labels", images=flat / "images")) == BOXES


def test_polygons_become_masks_and_their_boxes(tmp_path: Path) -> None:
    write(tmp_path, NAMES + "val: images\n")
    (tmp_path / "labels" / "a.txt").write_text("1 0.25 0.5 0.5 0.5 0.5 1\n0 0.5 0.5 1 1\n")
    photos = read_dataset(tmp_path)
    assert photos.task is Task.INSTANCE_SEGMENTATION
    objects = photos[0].objects
    assert objects is not None
    assert objects.masks is not None
    np.testing.assert_array_equal(objects.masks[0][0], [[20, 30], [40, 30], [40, 60]])
    np.testing.assert_array_equal(objects.boxes, [[20, 30, 40, 60], [0, 0, 80, 60]])
    np.testing.assert_array_equal(objects.masks[1][0], [[0, 0], [80, 0], [80, 60], [0, 60]])
    assert read_dataset(tmp_path, task="detection").task is Task.DETECTION


@pytest.mark.parametrize(
    ("shape", "line"),
    [("[2, 3]", "0 .5 .5 1 1 .25 .5 2 0 0 0"), ("[2, 2]", "0 .5 .5 1 1 .25 .5 0 0")],
)
def test_poses_have_visibility(tmp_path: Path, shape: str, line: str) -> None:
    write(tmp_path, f"{NAMES}val: images\nkpt_shape: {shape}\n")
    (tmp_path / "labels" / "a.txt").write_text(line)
    photos = read_dataset(tmp_path, task="keypoint")
    objects = photos[0].objects
    assert objects is not None
    np.testing.assert_array_equal(objects.boxes, [[0, 0, 80, 60]])
    np.testing.assert_array_equal(objects.keypoints, [[[20, 30, 2], [0, 0, 0]]])
    assert photos.keypoints == ("keypoint_0", "keypoint_1")


def test_boxes_follow_the_orientation_of_the_photo(tmp_path: Path) -> None:
    write(tmp_path, NAMES + "val: images\n")
    with Image.open(tmp_path / "images" / "a.jpg") as photo:
        exif = photo.getexif()
        exif[0x0112] = 6
        photo.save(tmp_path / "images" / "a.jpg", exif=exif)
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    photo_of_a = read_dataset(tmp_path)[0]
    assert photo_of_a.size == (60, 80)
    assert photo_of_a.objects is not None
    np.testing.assert_array_equal(photo_of_a.objects.boxes, [[0, 0, 60, 80]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 1 1", "a.txt is not a YOLO label file: line 2: expected a class id below 2"),
        ("-1 .5 .5 1 1", "class id"),
        ("0.5 .5 .5 1 1", "class id"),
        ("0 .5 .5 1", "expected 4, or those of a polygon coordinates, got 3"),
        ("0 .5 .5 1 1 0.9", "got 5"),
        ("cat .5 .5 1 1", "could not convert"),
        ("0 nan .5 1 1", "finite"),
        ("0 1e300 .5 1 1", "finite"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, NAMES + "val: images\n")
    (tmp_path / "labels" / "a.txt").write_text(f"0 .5 .5 1 1\n{line}\n")
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NAMES, "expected train, val or test"),
        (NAMES + "val: nowhere\n", "photos at 'nowhere', which does not exist: looked for"),
        (NAMES + "val: {a: b}\n", "expected folders|does not exist"),
        (NAMES + "val: [[a]]\n", "expected folders"),
        (NAMES + "nc: 3\nval: images\n", "nc is 3, but there are 2 names"),
        (NAMES + "nc: x\nval: images\n", "invalid literal"),
        (NAMES + "val: images\nkpt_shape: [0, 3]\n", "kpt_shape"),
        (NAMES + "val: images\nkpt_shape: 5\n", "not enough values"),
        ("names: &a [*a]\nval: images\n", "aliases"),
        ("- 1\n", "expected train, val or test"),
        ("", "expected train, val or test"),
    ],
)
def test_wrong_configurations_are_errors(tmp_path: Path, config: str, message: str) -> None:
    write(tmp_path, config)
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path / "data.yaml")


def test_photos_without_any_label_file_are_an_error(tmp_path: Path) -> None:
    write_photos(tmp_path / "images")
    (tmp_path / "data.yaml").write_text(NAMES + "val: images\n")
    with pytest.raises(DatasetError, match="none of the 3 photos has a label file"):
        read_dataset(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text(NAMES + "val: empty\n")
    with pytest.raises(DatasetError, match="has no photo for val"):
        read_dataset(tmp_path)


def test_unreadable_photos_keep_their_place_without_objects(tmp_path: Path) -> None:
    write(tmp_path, NAMES + "val: images\n")
    (tmp_path / "images" / "a.jpg").write_bytes(b"no photo")
    photos = read_dataset(tmp_path)
    assert photos[0].size is None
    assert as_rows(photos) == {**BOXES, "a": []}


WORDS = st.lists(st.sampled_from(["0", "1", "2", ".5", "1e9", "-1", "nan", "inf", "x", "\x00"]))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(WORDS, max_size=3),
    config=st.text(
        st.sampled_from("names: [cat]\nval: images\nkpt_shape{}&*!-0123,'\""), max_size=60
    ),
)
def test_hostile_files_raise_only_errors_of_the_package(
    lines: list[list[str]], config: str, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    if not root.exists():
        write_photo(root / "images" / "a.jpg")
        (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text("\n".join(map(" ".join, lines)))
    for text in (NAMES + "val: images\n", NAMES + "val: images\n" + config, config):
        (root / "data.yaml").write_text(text)
        with suppress(FuriosaModelsError):
            read_dataset(root / "data.yaml")
