from __future__ import annotations

import base64
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from furiosa_models.data import read_dataset
from furiosa_models.enums import Task
from furiosa_models.errors import DatasetError, FuriosaModelsError, ImageError
from furiosa_models.ops.rle import decode_rle
from furiosa_models.tasks import Instance, Instances, LtrbBoundingBox
from furiosa_models.tasks.base import Truth
from furiosa_models.tasks.draw import class_color
from furiosa_models.tasks.instances import INSTANCES
from furiosa_models.tracking import Tracker

NAMES = ("person", "cat", "dog")


def make(image: Path | None = None) -> Instances:
    masks = np.zeros((3, 48, 61), np.bool_)
    masks[0, 10:30, 20:50] = True
    masks[1, 20:44, :25] = True
    masks[1, 30, 10] = False
    masks[2, 47, 60] = True
    scores = np.array([0.9, 0.75, 0.5], np.float32)
    found = Instances.of_masks(masks, scores, np.array([2, 1, 2]), NAMES)
    found.image = image
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (61, 48), (9, 9, 9)).save(path)
    return path


def test_objects_are_items_and_arrays() -> None:
    found = make()
    assert len(found) == 3
    assert found[0] == Instance(
        LtrbBoundingBox(20, 10, 50, 30), float(found.scores[0]), "dog", 2, 600
    )
    assert [item.label for item in found] == found.labels == ["dog", "cat", "dog"]
    assert found.areas.tolist() == [600, 599, 1]
    assert found.boxes.tolist() == [[20, 10, 50, 30], [0, 20, 25, 44], [60, 47, 61, 48]]
    assert (found.bits.shape, found.masks.shape) == ((3, 48, 8), (3, 48, 61))
    np.testing.assert_array_equal(found.masks[1], found.mask(1))
    assert repr(found) == "<3 instances: dog 0.90, cat 0.75, dog 0.50>"
    assert repr(found[:0]) == "<no instances>"
    assert found[-1].area == 1


def test_parts() -> None:
    found = make()
    found.image_size = (61, 48)
    dogs = found[found.class_ids == 2]
    assert (len(dogs), dogs.areas.tolist(), dogs.image_size) == (2, [600, 1], (61, 48))
    assert found.filter(labels=["cat"]).labels == ["cat"]
    assert found.filter(min_score=0.75).labels == ["dog", "cat"]
    assert found.filter(min_area=2, labels=["dog"]).areas.tolist() == [600]
    assert found[1:].boxes.tolist() == make()[1:].boxes.tolist()
    assert found[:0].masks.shape == (0, 48, 61)


def test_equality_counts_masks() -> None:
    other = make()
    assert make() == other
    other.bits[0, 0, 0] = 1
    assert make() != other
    assert make() != make()[:2]
    assert make() != [1]


def test_masks_polygons_and_runs_of_an_object() -> None:
    found = make()
    outer, hole = found.polygons(1)
    assert (len(outer), len(hole)) == (4, 4)
    np.testing.assert_array_equal(decode_rle(found.rle(1)), found.mask(1))
    assert coco.area(found.rle(1)) == 599


def test_results_are_exported() -> None:
    found = make()
    rows = json.loads(found.to_json())
    assert rows == found.to_dict()
    assert rows[0].keys() == {"label", "index", "score", "box", "area", "mask"}
    entry = found.to_coco(7)[0]
    assert (entry["image_id"], entry["category_id"], entry["bbox"]) == (7, 18, [20, 10, 30, 20])
    assert coco.toBbox(entry["segmentation"]).tolist() == [20, 10, 30, 20]
    assert found.to_coco(7, [5, 6, 7])[1]["category_id"] == 6
    frame = found.to_pandas()
    assert [*frame.columns] == ["left", "top", "right", "bottom", "score", "index", "label", "area"]
    assert frame.area.tolist() == [600, 599, 1]
    supervision = pytest.importorskip("supervision")
    detections = found.to_supervision()
    assert isinstance(detections, supervision.Detections)
    np.testing.assert_array_equal(detections.mask, found.masks)
    assert found.columns().keys() == {"bits", "boxes", "class_ids", "scores"}


def test_a_pickled_result_is_the_same() -> None:
    assert pickle.loads(pickle.dumps(make())) == make()


def test_names_of_focoos_show_the_part_of_the_mask_in_its_box() -> None:
    first, second, last = make().detections
    assert (first.bbox, first.label, first.cls_id) == ([20, 10, 50, 30], "dog", 2)
    assert first.conf == pytest.approx(0.9)
    assert second.mask is not None
    assert last.mask is not None
    part = np.asarray(Image.open(io.BytesIO(base64.b64decode(second.mask))))
    np.testing.assert_array_equal(part > 0, make().mask(1)[20:44, :25])
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(last.mask)))).tolist() == [[255]]


def test_objects_are_drawn(photo: Path, tmp_path: Path) -> None:
    found = make(photo)
    masks = np.kron(found.masks[:1], np.ones((10, 10), np.bool_))
    large = Instances.of_masks(masks, found.scores[:1], found.class_ids[:1], NAMES)
    drawn = np.asarray(large.plot(np.full((480, 610, 3), 9, np.uint8))).astype(int)
    color = np.array(class_color(2))
    assert (drawn[299, 350] == color).all()  # the edge
    assert (np.abs(drawn[250, 350] - (color + 9) / 2) <= 1).all()
    assert (drawn[301, 350] == 9).all()
    saved = found.save(tmp_path / "out.png")
    with Image.open(saved) as picture:
        assert picture.size == (61, 48)
    assert json.loads(found.save(tmp_path / "out.json").read_text()) == found.to_dict()
    html = found._repr_html_()
    assert "<img" in html
    assert "cat" in html
    with pytest.raises(ImageError, match="as the masks"):
        found.plot(np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(FuriosaModelsError, match="no photo"):
        make().plot()


def test_tracked_objects_have_ids() -> None:
    found = make()
    assert not found.is_tracked
    tracked = found.with_tracks(np.array([4, -1, 7]))
    assert [item.track_id for item in tracked] == [4, -1, 7]
    assert tracked[tracked.track_ids >= 0].track_ids.tolist() == [4, 7]
    assert [row["track_id"] for row in tracked.to_dict()] == [4, -1, 7]
    assert tracked.to_coco(1)[0]["track_id"] == 4
    assert tracked.to_pandas().track_id.tolist() == [4, -1, 7]
    assert "track_id" not in found.to_dict()[0]
    large = np.full((48, 61, 3), 9, np.uint8)
    assert np.asarray(tracked.plot(large)).shape == large.shape
    tracker = Tracker(high_score=0.4)
    first, second = tracker.update(found), tracker.update(found)
    assert first.track_ids.tolist() == second.track_ids.tolist()
    assert (second.track_ids >= 0).all()
    np.testing.assert_array_equal(second.masks, found.masks)


def test_the_picture_of_masks_counts_objects(tmp_path: Path) -> None:
    saved = make().save_mask(tmp_path / "mask.png")
    values = np.asarray(Image.open(saved))
    assert values[15, 40] == 1
    assert values[22, 22] == 1  # both, the best counts
    assert values[40, 5] == 2
    assert values[47, 60] == 3
    assert values[0, 0] == 0
    with pytest.raises(ValueError, match=r"use \.png"):
        make().save_mask(tmp_path / "mask.jpg")
    many = Instances.of_masks(
        np.ones((300, 2, 2), np.bool_), np.ones(300, np.float32), np.zeros(300, np.int64), NAMES
    )
    assert np.asarray(many.mask_picture()).max() == 1


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Write a data set with a polygon, a crowd in runs, and a photo without objects."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (61, 48)).save(tmp_path / name)
    crowd = np.zeros((48, 61), np.uint8)
    crowd[:15, :15] = 1
    runs = coco.encode(np.asfortranarray(crowd))
    annotations = [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 18,
            "iscrowd": 0,
            "bbox": [20, 10, 30, 20],
            "area": 600,
            "segmentation": [[20, 10, 50, 10, 50, 30, 20, 30]],
        },
        {
            "id": 2,
            "image_id": 1,
            "category_id": 17,
            "iscrowd": 0,
            "bbox": [0, 22, 25, 22],
            "area": 550,
            "segmentation": [[0, 22, 25, 22, 25, 44, 0, 44]],
        },
        {
            "id": 3,
            "image_id": 1,
            "category_id": 18,
            "iscrowd": 1,
            "bbox": [0, 0, 15, 15],
            "area": 225,
            "segmentation": {**runs, "counts": runs["counts"].decode()},
        },
    ]
    document = {
        "images": [
            {"id": i, "file_name": name, "width": 61, "height": 48}
            for i, name in enumerate(("a.png", "b.png"), 1)
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": annotations,
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    return tmp_path / "labels.json"


def test_map_is_that_of_pycocotools(dataset: Path) -> None:
    results = [make(), make()[:1]]
    truth = INSTANCES.read_truth(dataset, dataset.parent)
    figures = INSTANCES.measure(truth, results)
    reference = COCO(str(dataset))
    rows = [row for i, found in enumerate(results, 1) for row in found.to_coco(i)]
    evaluation = COCOeval(reference, reference.loadRes(rows), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    expected = {"mAP": evaluation.stats[0], "mAP50": evaluation.stats[1]}
    assert figures == pytest.approx(expected)
    assert 0 < figures["mAP"] < figures["mAP50"]


def test_no_objects_found_is_a_map_of_zero(dataset: Path) -> None:
    truth = INSTANCES.read_truth(dataset, dataset.parent)
    assert INSTANCES.measure(truth, [make()[:0]] * 2) == {"mAP": 0.0, "mAP50": 0.0}


def test_labels_without_outlines_are_refused(dataset: Path) -> None:
    boxes = read_dataset(dataset, images=dataset.parent, task=Task.DETECTION)
    with pytest.raises(DatasetError, match="outlines"):
        INSTANCES.measure(Truth.of(boxes), [make()] * 2)


@pytest.mark.parametrize("name", ["iou_threshold", "top_k"])
def test_options_of_other_tasks_are_refused(name: str) -> None:
    options: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match="score_threshold"):
        INSTANCES.resolve_options(options)
    assert INSTANCES.resolve_options({"conf_thres": 0.2}) == {"score_threshold": 0.2}
