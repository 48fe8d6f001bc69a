from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from furiosa_models.data import (
    AutoDataset,
    DatasetMetadata,
    DictDataset,
    LabeledPhoto,
    MapDataset,
    Objects,
    datasets,
    read_dataset,
)
from furiosa_models.enums import DatasetLayout, DatasetSplitType, Task
from furiosa_models.errors import DatasetError

from .made import BOXES, coco_document, write_coco, write_photo, write_photos
from .test_archive import write_zip
from .test_masks import write as write_masks

Pixels = npt.NDArray[np.uint8]


class Half:
    """Keeps the left half of each photo, and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def to_resolution(
        self, image: Pixels, photo: LabeledPhoto, *, epoch: int, index: int
    ) -> tuple[Pixels, LabeledPhoto]:
        self.calls.append((epoch, index))
        objects = photo.objects or Objects()
        kept = objects.boxes[:, 0] < 40
        chosen = Objects(objects.boxes[kept], objects.class_ids[kept])
        return image[:, :40], replace(photo, objects=chosen, size=(40, 60))


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    datasets._torch.cache_clear()


@pytest.fixture
def shelves(tmp_path: Path) -> Path:
    for part in ("train", "valid", "test"):
        write_photos(tmp_path / "shelves" / part)
        write_coco(tmp_path / "shelves" / part / "_annotations.coco.json")
    return tmp_path


def split(root: Path, name: DatasetSplitType | str = "train") -> MapDataset:
    data = AutoDataset("shelves", Task.DETECTION, DatasetLayout.ROBOFLOW_COCO, root)
    return data.get_split(split=name)


def test_entries_have_the_pixels_and_labels_of_photos(shelves: Path) -> None:
    data = split(shelves)
    assert (len(data), data.name, data.task, data.resolution) == (3, "shelves", "detection", None)
    entry = data[0]
    assert entry.file_name == str(shelves / "shelves" / "train" / "a.jpg")
    assert (entry.height, entry.width, entry.image_id) == (60, 80, 10)
    assert entry.image.shape == (3, 60, 80)
    with Image.open(entry.file_name) as photo:
        np.testing.assert_array_equal(entry.image.transpose(1, 2, 0), np.asarray(photo))
    assert entry.instances is not None
    np.testing.assert_array_equal(entry.instances.boxes, [box for _, box in BOXES["a"]])
    with pytest.raises(IndexError):
        data[3]
    assert data[-1].file_name.endswith("c.jpg")


def test_a_photo_without_boxes_stays_in_its_place(shelves: Path) -> None:
    entry = split(shelves)[2]
    assert entry.file_name.endswith("c.jpg")
    assert entry.instances is not None
    assert len(entry.instances) == 0


@pytest.mark.parametrize("name", ["train", "val", "test", *DatasetSplitType])
def test_all_parts_can_be_read(shelves: Path, name: DatasetSplitType | str) -> None:
    folder = {"val": "valid", "test": "test"}.get(str(getattr(name, "value", name)), "train")
    assert Path(split(shelves, name)[0].file_name).parent.name == folder


def test_the_mapper_gets_how_often_a_photo_was_read(shelves: Path) -> None:
    half = Half()
    data = MapDataset(split(shelves).dataset, half)
    entries = [*data, data[-1], data[1]]
    assert half.calls == [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1)]
    assert entries[0].image.shape == (3, 60, 40)
    assert (entries[0].height, entries[0].width) == (60, 80)
    assert entries[0].instances is not None
    np.testing.assert_array_equal(entries[0].instances.boxes, [BOXES["a"][0][1]])


def test_metadata_has_the_facts_of_the_data_set(shelves: Path, tmp_path: Path) -> None:
    found = split(shelves).dataset.metadata
    assert found.classes == found.thing_classes == ["cat", "dog"]
    assert (found.num_classes, found.count, found.name) == (2, 3, "shelves")
    assert found.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    found.dump_json(tmp_path / "metadata.json")
    assert DatasetMetadata.from_json(tmp_path / "metadata.json") == found
    assert DatasetMetadata.from_dict({"num_classes": 1, "task": "semseg", "x": 1}).num_classes == 1
    with pytest.raises(DatasetError, match="does not tell the names of its classes"):
        _ = DatasetMetadata(1, Task.SEMSEG).classes
    (tmp_path / "bad.json").write_text('{"num_classes": 1, "task": "x"}')
    with pytest.raises(DatasetError, match="bad.json is not a JSON file of facts"):
        DatasetMetadata.from_json(tmp_path / "bad.json")


def test_labels_are_dictionaries_of_detectron2(tmp_path: Path) -> None:
    write_photos(tmp_path)
    document = coco_document()
    document["annotations"][0] |= {
        "iscrowd": 1, "area": 5, "segmentation": [[1, 2, 3, 4, 5, 6]], "keypoints": [1, 2, 2]
    }  # fmt: skip
    data = DictDataset(read_dataset(write_coco(tmp_path / "x.json", **document)))
    found = data[0]
    first, _ = found.pop("annotations")
    assert found == {
        "file_name": str(tmp_path / "a.jpg"), "image_id": 10, "width": 80, "height": 60
    }  # fmt: skip
    assert first.pop("segmentation")[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert first == {
        "bbox": [10, 20, 30, 50], "category_id": 0, "iscrowd": 1, "area": 5, "keypoints": [1, 2, 2]
    }  # fmt: skip
    assert data.name == "x"


def test_classes_and_masks_are_read(tmp_path: Path) -> None:
    write_photo(tmp_path / "animals" / "val" / "ant" / "a.jpg")
    write_photo(tmp_path / "animals" / "val" / "bee" / "b.jpg")
    data = AutoDataset("animals", "classification", "cls_folder", tmp_path).get_split(split="val")
    assert [entry.label for entry in data] == [0, 1]
    assert data.dataset[1]["label"] == 1

    folder = write_masks(tmp_path / "roads" / "train")
    values = np.array([[0, 1, 3, 7]], np.uint8).repeat(60, 0).repeat(20, 1)
    Image.fromarray(values).save(folder / "a_mask.png")
    data = AutoDataset("roads", Task.SEMSEG, datasets_dir=tmp_path).get_split()
    found = data[0].sem_seg
    assert found is not None
    assert found[0, ::20].tolist() == [0, 1, 2, 255]
    assert data.dataset.metadata.stuff_classes == ["background", "cat", "dog"]
    assert data.dataset[0]["sem_seg_file_name"] == str(folder / "a_mask.png")
    Image.fromarray(values).convert("RGB").save(folder / "a_mask.png")
    with pytest.raises(DatasetError, match="expected a value per pixel, got 80x60 of RGB"):
        data[0]


def test_archives_are_unpacked(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "x.jpg").read_bytes()
    write_zip(tmp_path / "my.ants.zip", {"train/ant/a.jpg": photo})
    data = AutoDataset("my.ants.zip", Task.CLASSIFICATION, DatasetLayout.CLS_FOLDER, tmp_path)
    assert data.dataset_name == "my.ants"
    assert len(data.get_split()) == 1


def test_a_missing_data_set_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatasetError, match=r"no data set x in .*FocoosAI"):
        AutoDataset("x", Task.DETECTION)
    (tmp_path / "x").mkdir()
    with pytest.raises(DatasetError, match="no labels for detection"):
        AutoDataset("x", Task.DETECTION, datasets_dir=tmp_path).get_split()


def test_labels_of_another_size_are_an_error(shelves: Path) -> None:
    write_photo(shelves / "shelves" / "train" / "a.jpg", size=(30, 20))
    with pytest.raises(
        DatasetError, match=r"a.jpg has 30x20 pixels, its labels are for \(80, 60\)"
    ):
        split(shelves)[0]


def changed(one: Any, other: Any) -> npt.NDArray[np.intp]:
    """Return y and x of the pixels that differ."""
    return np.argwhere((np.asarray(one) != np.asarray(other)).any(axis=2))


def test_preview_draws_boxes(shelves: Path) -> None:
    data = MapDataset(split(shelves).dataset, Half())
    plain = split(shelves)[1].image.transpose(1, 2, 0)
    whole = data.preview(1, use_augmentations=False)
    assert whole.size == (80, 60)
    places = changed(whole, plain)
    assert places[:, 0].min() == 6
    assert places[:, 1].min() == 8
    assert data.preview(1).size == (40, 60)
    assert data.preview().size == (40, 60)


def test_preview_draws_classes_masks_outlines_and_keypoints(tmp_path: Path) -> None:
    write_photos(tmp_path / "x")
    document = coco_document()
    document["annotations"] = [
        {"image_id": 10, "category_id": 3, "bbox": [70, 50, 4, 4],
         "keypoints": [5, 30, 2, 40, 30, 2], "segmentation": [[20, 5, 60, 5, 60, 8]]},
        {"image_id": 10, "category_id": 3, "bbox": [70, 50, 4, 4], "keypoints": [0] * 6,
         "segmentation": {"size": [60, 80], "counts": [4799, 1]}},
    ]  # fmt: skip
    document["categories"][1]["skeleton"] = [[1, 2], [1, 9]]
    labels = read_dataset(write_coco(tmp_path / "x" / "x.json", **document))
    data = MapDataset(DictDataset(labels))
    places = {
        tuple(at) for at in changed(data.preview(0), data[0].image.transpose(1, 2, 0)).tolist()
    }
    assert {(30, 5), (30, 20), (30, 40), (5, 30), (59, 79)} <= places
    assert (0, 0) not in places

    write_photo(tmp_path / "animals" / "ant" / "a.jpg")
    write_masks(tmp_path / "roads")
    for folder in ("animals", "roads"):
        data = MapDataset(DictDataset(read_dataset(tmp_path / folder)))
        assert len(changed(data.preview(0), data[0].image.transpose(1, 2, 0)))


@pytest.mark.torch
def test_entries_are_tensors_with_augmentations_where_pytorch_is_installed(
    shelves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    datasets._torch.cache_clear()
    import torch

    from furiosa_models.data import DatasetAugmentations

    write_masks(shelves / "roads" / "train")
    values = np.zeros((60, 80), np.uint8)
    values[:, 40:] = 3
    Image.fromarray(values).save(shelves / "roads" / "train" / "a_mask.png")
    data = AutoDataset("roads", Task.SEMSEG, datasets_dir=shelves)
    small = data.get_split(DatasetAugmentations(resolution=(30, 40)))[0]
    assert isinstance(small.image, torch.Tensor)
    assert tuple(small.image.shape) == (3, 30, 40)
    assert small.sem_seg is not None
    np.testing.assert_array_equal(small.sem_seg, np.repeat([[0] * 20 + [2] * 20], 30, axis=0))
    turned = data.get_split(DatasetAugmentations(resolution=(60, 80), rotation=1.0), seed=3)
    found = turned[0].sem_seg
    assert found is not None
    assert {0, 2, 255} == {*np.unique(found).tolist()}
