from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from furiosa_models.data import read_dataset
from furiosa_models.data.classes import match_classes
from furiosa_models.errors import DatasetError

from .made import as_rows, coco_document, write_coco, write_photos


def test_names_match_without_case_spaces_dashes_and_underscores(tmp_path: Path) -> None:
    write_photos(tmp_path)
    categories = [{"id": 3, "name": "Traffic_Light"}, {"id": 7, "name": "dog"}]
    labels = read_dataset(write_coco(tmp_path / "x.json", categories=categories))
    names = ["person", "traffic light", "DOG"]
    assert match_classes(labels, names) == {"traffic light": 0, "DOG": 1}


def test_objects_of_other_classes_are_left_out_with_all_their_labels(tmp_path: Path) -> None:
    write_photos(tmp_path)
    document = coco_document()
    for number, annotation in enumerate(document["annotations"]):
        annotation |= {
            "area": number,
            "iscrowd": number,
            "keypoints": [number, 0, 2],
            "segmentation": [[number, 0, 5, 5, 0, 5]],
        }
    path = write_coco(tmp_path / "x.json", **document)
    labels = read_dataset(path, classes=["horse", "dog"])
    assert labels.classes == ("horse", "dog")
    assert labels.class_numbers == ()
    assert as_rows(labels) == {"a": [(1, (40, 0, 80, 60))], "b": [(1, (8, 6, 16, 12))], "c": []}
    objects = labels[0].objects
    assert objects is not None
    assert objects.areas is not None
    assert objects.masks is not None
    assert objects.keypoints is not None
    assert (objects.areas.tolist(), objects.is_crowd.tolist()) == ([1], [True])
    assert objects.keypoints[0, 0].tolist() == [1, 0, 2]
    np.testing.assert_array_equal(objects.masks[0][0][0], [1, 0])


def test_classes_in_another_order_keep_their_numbers(tmp_path: Path) -> None:
    write_photos(tmp_path)
    labels = read_dataset(write_coco(tmp_path / "x.json"), classes=["dog", "cat"])
    assert labels.class_numbers == (7, 3)
    assert [class_id for class_id, _ in as_rows(labels)["a"]] == [1, 0]
    whole = read_dataset(tmp_path / "x.json", classes=["cat", "dog"])
    assert whole.class_numbers == (3, 7)


def test_no_common_class_is_an_error(tmp_path: Path) -> None:
    write_photos(tmp_path)
    labels = read_dataset(write_coco(tmp_path / "x.json"))
    with pytest.raises(
        DatasetError, match="categories are cat, dog; the model's are a, b, c, d, e, "
    ):
        match_classes(labels, "abcdefg")
    with pytest.raises(DatasetError, match="none of the model's classes"):
        match_classes(replace(labels, classes=()), ["cat"])
