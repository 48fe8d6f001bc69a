"""Any tree of files is a data set, or an error of this package."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from furiosa_models.data import check_dataset, dataset_splits, read_dataset
from furiosa_models.errors import FuriosaModelsError

from .made import write_coco, write_photo, write_voc_labels, write_yolo_labels

FOLDERS = (
    ".", "train", "val", "images", "labels", "images/train", "labels/train", "train/images",
    "train/labels", "train/a", "train/b", "Annotations", "JPEGImages", "annotations",
    "ImageSets/Main",
)  # fmt: skip
FILES = (
    "a.jpg", "b.jpg", "a.png", "a_mask.png", "_classes.csv", "data.yaml", "train.txt", "x.csv",
    "instances_train2017.json", "_annotations.coco.json", "COCO", "YOLO", "VOC", "noise.json",
)  # fmt: skip
DATA_SETS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("train/a", "a.jpg"), ("val/b", "b.jpg")),
    (("images/train", "a.jpg"), ("labels/train", "YOLO")),
    (("train/images", "a.jpg"), ("train/labels", "YOLO"), (".", "data.yaml")),
    (("JPEGImages", "a.jpg"), ("Annotations", "VOC"), ("ImageSets/Main", "train.txt")),
    (("images", "a.jpg"), (".", "COCO")),
    (("train", "a.jpg"), ("annotations", "instances_train2017.json")),
    (("train", "a.jpg"), ("train", "_annotations.coco.json")),
    (("train", "a.jpg"), ("train", "a_mask.png"), ("train", "_classes.csv")),
    (("train", "a.jpg"), ("train", "x.csv")),
)
TEXTS = {
    "_classes.csv": "value,name\n0,a\n1,b\n",
    "data.yaml": "train: train/images\nval: images\nnames: [cat, dog]\n",
    "train.txt": "a\nb\n",
    "x.csv": "file,label\na.jpg,cat\n",
    "noise.json": '{"images": 1}',
}


def write(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith((".jpg", ".png")):
        write_photo(folder / name)
    elif name in TEXTS:
        (folder / name).write_text(TEXTS[name])
    elif name.endswith(".json"):
        write_coco(folder / name)
    elif name == "COCO":
        write_coco(folder / "instances.json")
    else:
        (write_yolo_labels if name == "YOLO" else write_voc_labels)(folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(DATA_SETS),
    st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(FILES)), max_size=4),
    st.sampled_from([None, "train", "val"]),
    st.sampled_from([None, "detection", "classification", "semseg", "keypoint", "instseg"]),
)
def test_any_tree_is_read_or_refused(
    tmp_path: Path,
    data_set: tuple[tuple[str, str], ...],
    more: set[tuple[str, str]],
    split: str | None,
    task: str | None,
) -> None:
    root = tmp_path / "tree"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for folder, name in (*data_set, *more):
        write(root / folder, name)
    with suppress(FuriosaModelsError):
        dataset_splits(root, task=task)
    with suppress(FuriosaModelsError):
        photos = read_dataset(root, split=split, task=task)
        assert len(photos)
        assert task in (None, photos.task.value)
        assert str(check_dataset(photos))
