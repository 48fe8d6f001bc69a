from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from furiosa_models.cli.check_data_ import command
from furiosa_models.data import DatasetReport, LabeledPhotos, check_dataset, read_dataset
from furiosa_models.errors import DatasetError

from .made import coco_document, write_coco, write_photo, write_photos, write_voc_labels
from .test_masks import write as write_masks


def problems(report: DatasetReport) -> dict[str, tuple[str, ...]]:
    return {f"{each.severity}: {each.message}": each.examples for each in report.problems}


def coco(folder: Path, **changes: Mapping[str, Any]) -> LabeledPhotos:
    """Return a data set, with changed fields of its first photo and first annotation."""
    document = coco_document()
    for where, fields in changes.items():
        document[where][0] |= fields
    write_photos(folder)
    return read_dataset(write_coco(folder / "x.json", **document))


def test_a_good_data_set_has_only_the_warning_of_its_empty_photo(tmp_path: Path) -> None:
    report = check_dataset(coco(tmp_path))
    assert problems(report) == {"warning: 1 photos have no labels": ("c.jpg",)}
    assert report.photos == {"data": 3}
    assert report.counts == {"cat": {"data": 1}, "dog": {"data": 2}}
    report.raise_for_errors()
    assert str(report).splitlines() == [
        "photos: 3 in data",
        "class  data",
        "cat       1",
        "dog       2",
        "",
        "warning  1 photos have no labels: c.jpg",
    ]


def test_long_tables_are_cut(tmp_path: Path) -> None:
    photos = replace(coco(tmp_path), classes=tuple(f"c{i}" for i in range(150)))
    report = check_dataset(photos)
    assert len(report.counts) == 150
    assert str(report).splitlines()[101:103] == ["c99       0", "... and 50 more classes"]


def test_missing_and_unreadable_photos_are_errors(tmp_path: Path) -> None:
    photos = coco(tmp_path)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.jpg").write_bytes(b"nonsense")
    report = check_dataset(photos)
    found = problems(report)
    assert found["error: 1 photos are missing"] == ("a.jpg",)
    (reason,) = found["error: 1 photos cannot be read"]
    assert "b.jpg' cannot be decoded" in reason
    with pytest.raises(DatasetError, match="(?s)1 photos are missing: a.jpg.*cannot be read"):
        report.raise_for_errors()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([10, 20, 0, 5], "error: 1 boxes are empty"),
        ([10, 20, -3, 5], "error: 1 boxes are empty"),
        ([80, 20, 5, 5], "error: 1 boxes are outside their photo"),
        ([-50, 20, 40, 5], "error: 1 boxes are outside their photo"),
        ([70, 20, 12, 5], "warning: 1 boxes are partly outside their photo"),
        ([70, 20, 10.9, 5], None),
    ],
)
def test_wrong_boxes_are_found(tmp_path: Path, box: list[float], message: str | None) -> None:
    found = problems(check_dataset(coco(tmp_path, annotations={"bbox": box})))
    boxes = [text for text in found if "boxes" in text]
    assert boxes == ([message] if message else [])
    assert message is None or found[message][0].startswith("a.jpg [")


def test_wrong_sizes_are_found_also_if_the_photo_was_turned(tmp_path: Path) -> None:
    photos = coco(tmp_path, images={"width": 60, "height": 80})
    found = problems(check_dataset(photos))
    assert found["error: 1 photos have another size than their labels"] == (
        "a.jpg is 80x60, labeled 60x80",
    )
    with Image.open(tmp_path / "a.jpg") as photo:
        exif = photo.getexif()
        exif[0x0112] = 6
        photo.save(tmp_path / "a.jpg", exif=exif)
    assert not any("another size" in text for text in problems(check_dataset(photos)))


def test_classes_are_compared_with_those_of_the_model(tmp_path: Path) -> None:
    photos = coco(tmp_path)
    assert not check_dataset(photos, classes=["person", "Dog", "cat"]).errors
    found = problems(check_dataset(photos, classes=["person", "dog"]))
    assert found["warning: 1 classes are none of the model's"] == ("cat",)
    (error,) = check_dataset(photos, classes=["person", "car"]).errors
    assert "has none of the model's classes: its categories are cat, dog" in error.message


def test_indices_are_compared_with_the_number_of_classes(tmp_path: Path) -> None:
    write_photos(tmp_path)
    (tmp_path / "x.csv").write_text("file,class_index\na.jpg,3\nb.jpg,-1\n")
    found = problems(check_dataset(read_dataset(tmp_path / "x.csv"), classes=["a", "b"]))
    assert found == {
        "error: 1 class ids are not those of the 4 classes": ("b.jpg -1",),
        "error: 2 class ids are too large for the 2 classes of the model": ("class_2", "class_3"),
    }


def test_classes_without_examples_are_found(tmp_path: Path) -> None:
    photos = coco(tmp_path, annotations={"category_id": 7})
    assert problems(check_dataset(photos))["warning: 1 classes have no examples"] == ("cat",)


def test_photos_in_train_and_val_are_compared_by_contents(tmp_path: Path) -> None:
    for name, seed in (("train/x/1.png", 1), ("train/x/2.png", 2), ("train/y/3.png", 1),
                       ("val/x/4.png", 2), ("val/y/5.png", 5)):  # fmt: skip
        write_photo(tmp_path / name, seed)
    train, val = (read_dataset(tmp_path, split=split) for split in ("train", "val"))
    found = problems(check_dataset(train, val))
    assert found == {
        "error: 1 photos are both in train and in val": (
            f"{tmp_path}/train/x/2.png = {tmp_path}/val/x/4.png",
        ),
        "warning: 1 photos occur more than once in the same part": (
            f"{tmp_path}/train/x/1.png = {tmp_path}/train/y/3.png",
        ),
    }
    assert "error: 2 photos are both in train and in val" in problems(check_dataset(train, train))


def test_parts_with_different_classes_are_an_error(tmp_path: Path) -> None:
    train = coco(tmp_path / "one")
    write_photo(tmp_path / "two" / "z.jpg", 9)
    val = replace(train, classes=("dog", "cat"), photos=())
    found = problems(check_dataset(train, val))
    assert found["error: train and val have different classes"] == ("cat, dog", "dog, cat")
    assert "error: val: there are no photos" in found


def test_masks_are_checked(tmp_path: Path) -> None:
    write_masks(tmp_path)
    assert not check_dataset(read_dataset(tmp_path)).problems
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a_mask.png")
    (tmp_path / "b_mask.png").write_bytes(b"")
    found = problems(check_dataset(read_dataset(tmp_path)))
    assert found["error: 1 masks have another size than their photo"] == ("a_mask.png is 9x9",)
    assert "error: 1 masks cannot be read" in found


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_command_checks_both_parts(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        write_photos(tmp_path / part)
        write_voc_labels(tmp_path / part)
    code, output = run(tmp_path, "--json")
    assert code == 1
    report = json.loads(output)
    assert report["photos"] == {"train": 3, "val": 3}
    assert report["problems"][0]["message"] == "3 photos are both in train and in val"
    code, output = run(tmp_path / "train")
    assert code == 0
    assert "photos: 3 in data" in output
    code, output = run(tmp_path / "train", "--val", tmp_path / "valid")
    assert code == 1
    assert "error    3 photos are both in train and in val" in output


def test_command_compares_classes_with_a_model(tmp_path: Path) -> None:
    coco(tmp_path)
    code, output = run(tmp_path / "x.json", "--images", tmp_path, "--model", "ssd-mobilenet")
    assert code == 0, output
    write_coco(tmp_path / "x.json", categories=[{"id": 3, "name": "ox"}, {"id": 7, "name": "emu"}])
    code, output = run(tmp_path, "--model", "ssd-mobilenet", "--layout", "coco")
    assert code == 1
    assert "has none of the model's classes" in output


def test_command_chooses_labels_by_the_task_of_the_model(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "x.json").rename(tmp_path / "instances.json")
    write_coco(tmp_path / "person_keypoints.json", annotations=[])
    assert run(tmp_path, "--model", "ssd-mobilenet")[0] == 0
    assert "photos: 3 in data" in run(tmp_path, "--task", "keypoint")[1]
    with pytest.raises(DatasetError, match="several annotation files"):
        CliRunner().invoke(command, [str(tmp_path)], catch_exceptions=False)
