from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycocomask

from furiosa_models.data import read_dataset
from furiosa_models.data.coco import ROBOFLOW_FILE
from furiosa_models.enums import DatasetLayout, Task
from furiosa_models.errors import DatasetError, FuriosaModelsError
from furiosa_models.ops.rle import decode_rle

from .made import BOXES, as_rows, coco_document, write_coco, write_photos


def with_fields(**fields: Any) -> dict[str, Any]:
    """Return a document whose first annotation has more fields."""
    document = coco_document()
    document["annotations"][0] |= fields
    return document


def test_categories_become_classes_in_the_order_of_their_ids(tmp_path: Path) -> None:
    write_photos(tmp_path)
    photos = read_dataset(write_coco(tmp_path / "instances.json"))
    assert photos.classes == ("cat", "dog")
    assert photos.class_numbers == (3, 7)
    assert photos.layout is DatasetLayout.COCO
    assert photos.task is Task.DETECTION
    assert as_rows(photos) == BOXES
    assert [photo.image_id for photo in photos] == [10, 11, 12]
    assert [photo.size for photo in photos] == [(80, 60)] * 3


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("labels.json", "."),
        ("labels.json", "images"),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances_val2017.json", "images"),
    ],
)
def test_photos_beside_the_file_are_found(tmp_path: Path, labels: str, images: str) -> None:
    write_photos(tmp_path / images)
    photos = read_dataset(write_coco(tmp_path / labels))
    assert all(photo.path.is_file() for photo in photos)
    given = read_dataset(tmp_path / labels, images=tmp_path / images)
    assert [photo.path.name for photo in given] == [photo.path.name for photo in photos]


def test_missing_photos_are_an_error_that_lists_where_they_were_looked_for(tmp_path: Path) -> None:
    labels = write_coco(tmp_path / "annotations" / "instances_val2017.json")
    with pytest.raises(DatasetError, match=r"'a.jpg', is in none of .*val2017.*pass images="):
        read_dataset(labels)


def test_parts_of_nested_files_are_told_by_their_names(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        write_photos(tmp_path / part)
        write_coco(tmp_path / "annotations" / f"instances_{part}.json")
        write_coco(tmp_path / "annotations" / f"captions_{part}.json")
    with pytest.raises(DatasetError, match="has the parts train, val: pass split="):
        read_dataset(tmp_path)
    photos = read_dataset(tmp_path, split="valid")
    assert {photo.path.parent.name for photo in photos} == {"val2017"}
    with pytest.raises(DatasetError, match="has no part test, only train, val"):
        read_dataset(tmp_path, split="test")


def test_the_task_chooses_between_boxes_and_keypoints(tmp_path: Path) -> None:
    write_photos(tmp_path / "images")
    write_coco(tmp_path / "instances.json")
    document = with_fields(keypoints=[5, 6, 2, 0, 0, 0])
    document["categories"][1] |= {"keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    write_coco(tmp_path / "person_keypoints.json", **document)
    with pytest.raises(DatasetError, match="several annotation files"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, task="detection").source.name == "instances.json"
    photos = read_dataset(tmp_path, task=Task.KEYPOINT)
    assert photos.keypoints == ("nose", "tail")
    assert photos.skeleton == ((1, 2),)
    objects = photos[0].objects
    assert objects is not None
    assert objects.keypoints is not None
    np.testing.assert_array_equal(objects.keypoints[0], [[5, 6, 2], [0, 0, 0]])
    np.testing.assert_array_equal(objects.keypoints[1], np.zeros((2, 3)))
    assert read_dataset(tmp_path, task="keypoint", split=None)[2].objects is not None


def test_roboflows_super_category_is_no_class(tmp_path: Path) -> None:
    document = coco_document()
    document["categories"] = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        *({**category, "supercategory": "animals"} for category in document["categories"]),
    ]
    for part in ("train", "valid"):
        write_photos(tmp_path / part)
        write_coco(tmp_path / part / ROBOFLOW_FILE, **document)
    photos = read_dataset(tmp_path, split="val")
    assert photos.layout is DatasetLayout.ROBOFLOW_COCO
    assert photos.classes == ("cat", "dog")
    assert as_rows(photos) == BOXES

    document["annotations"][0]["category_id"] = 0
    write_coco(tmp_path / "train" / ROBOFLOW_FILE, **document)
    assert read_dataset(tmp_path, split="train").classes == ("animals", "cat", "dog")


def test_crowds_areas_and_polygons_are_kept(tmp_path: Path) -> None:
    write_photos(tmp_path)
    outline = [10, 20, 30, 20, 30, 50]
    labels = write_coco(
        tmp_path / "x.json", **with_fields(iscrowd=1, area=300.5, segmentation=[outline])
    )
    photos = read_dataset(labels)
    assert photos.task is Task.INSTANCE_SEGMENTATION
    objects = photos[0].objects
    assert objects is not None
    assert objects.is_crowd.tolist() == [True, False]
    assert objects.areas is not None
    assert objects.areas.tolist() == [300.5, 40 * 60]
    assert objects.masks is not None
    np.testing.assert_array_equal(objects.masks[0][0], np.reshape(outline, (3, 2)))
    np.testing.assert_array_equal(objects.masks[1][0], [[40, 0], [80, 0], [80, 60], [40, 60]])
    without = read_dataset(labels, task=Task.DETECTION)[0].objects
    assert without is not None
    assert without.masks is None


def test_a_mask_tells_the_box_that_an_annotation_lacks(tmp_path: Path) -> None:
    write_photos(tmp_path)
    mask = np.zeros((60, 80), np.uint8)
    mask[20:50, 10:30] = 1
    encoded = pycocomask.encode(np.asfortranarray(mask))
    document = with_fields(
        segmentation={"size": [60, 80], "counts": encoded["counts"].decode("ascii")}
    )
    del document["annotations"][0]["bbox"]
    photos = read_dataset(write_coco(tmp_path / "x.json", **document))
    assert as_rows(photos) == BOXES


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_masks_are_decoded_as_by_pycocotools(
    seed: int, height: int, width: int, density: float
) -> None:
    random = np.random.default_rng(seed)
    mask = (random.random((height, width)) < density).astype(np.uint8)
    encoded = pycocomask.encode(np.asfortranarray(mask))
    text = {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
    np.testing.assert_array_equal(decode_rle(text), mask.astype(bool))


@settings(max_examples=200)
@given(st.text(st.characters(min_codepoint=30, max_codepoint=130), max_size=40))
def test_damaged_masks_are_a_value_error(counts: str) -> None:
    try:
        mask = decode_rle({"size": [5, 7], "counts": counts})
    except ValueError:
        return
    assert mask.shape == (5, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, "not enough values"),
        ({"bbox": [1, 2, 3, float("nan")]}, "expected finite numbers"),
        ({"bbox": [1, 2, 3, 1e300]}, "expected finite numbers"),
        ({"bbox": ["1", 2, 3, 4]}, "expected finite numbers"),
        ({"bbox": None}, "TypeError"),
        ({"category_id": 99}, "its category 99 is not among the categories"),
        ({"category_id": [3]}, "unhashable"),
        ({"segmentation": [[1, 2, 3, 4]]}, "at least three points"),
        ({"segmentation": {"size": [2, 2], "counts": [1, 2]}}, "do not add up"),
        ({"segmentation": {"size": [1 << 20, 1 << 20], "counts": [1 << 40]}}, "too large"),
        ({"keypoints": [1, 2]}, "expected x, y and visibility"),
        ({"image_id": {}}, "unhashable"),
    ],
)
def test_wrong_annotations_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_photos(tmp_path)
    labels = write_coco(tmp_path / "x.json", **with_fields(**change))
    with pytest.raises(DatasetError, match=rf"x.json is not a COCO annotation file: .*{message}"):
        read_dataset(labels)


@pytest.mark.parametrize(
    "fields",
    [
        {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]},
        {"images": [{"id": 1, "file_name": 7}]},
        {"images": 5},
        {"categories": [{"id": "3", "name": "cat"}]},
        {"categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]},
        {"categories": {}},
        {"annotations": 3},
        {"annotations": [3]},
    ],
)
def test_wrong_documents_are_an_error(tmp_path: Path, fields: dict[str, Any]) -> None:
    write_photos(tmp_path)
    with pytest.raises(DatasetError, match="x.json"):
        read_dataset(write_coco(tmp_path / "x.json", **fields))


def test_annotations_of_unlisted_photos_are_left_out_with_a_warning(tmp_path: Path) -> None:
    write_photos(tmp_path)
    document = with_fields(image_id=999)
    with pytest.warns(UserWarning, match="1 annotations are of photos that the file does not list"):
        photos = read_dataset(write_coco(tmp_path / "x.json", **document))
    assert len(as_rows(photos)["a"]) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "bbox", "name", "counts", "size", "x"]), inner)
    ),
    max_leaves=8,
)
FIELDS = ["image_id", "category_id", "bbox", "segmentation", "keypoints", "area", "iscrowd"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_hostile_documents_raise_only_errors_of_the_package(
    drawn: st.DataObject, tmp_path: Path
) -> None:
    document = coco_document()
    where = drawn.draw(st.sampled_from(["images", "annotations", "categories"]))
    keys = {
        "images": ["id", "file_name", "width", "height"],
        "annotations": FIELDS,
        "categories": ["id", "name", "keypoints", "skeleton", "supercategory"],
    }[where]
    document[where][0][drawn.draw(st.sampled_from(keys))] = drawn.draw(JSON)
    path = tmp_path / ROBOFLOW_FILE
    path.write_text(json.dumps(document))
    with suppress(FuriosaModelsError, UserWarning):
        read_dataset(path, images=tmp_path)
