"""Read a data set in any layout, which is recognized from its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..enums import DatasetLayout, DatasetSplitType, Task
from ..errors import DatasetError
from .classes import with_classes
from .coco import ROBOFLOW_FILE, find_coco, find_roboflow, read_coco
from .folders import find_folders, read_folders
from .masks import CLASSES_FILE, find_masks, read_masks
from .part import Part, Parts, as_split
from .records import LabeledPhotos
from .table import find_table, read_table
from .voc import find_voc, read_voc
from .voc_masks import find_voc_masks, has_masks, read_voc_masks
from .yolo import CONFIG_FILE, find_yolo, parts_of_config, read_yolo

__all__ = ["dataset_splits", "is_bare_file", "read_dataset"]

_OBJECTS = frozenset({Task.DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT})
_COCO = _OBJECTS | {Task.SEMSEG, Task.MATTE}
_PHOTOS = frozenset({Task.CLASSIFICATION})


@dataclass(frozen=True, slots=True)
class _Reader:
    """A layout that can be read.

    Attributes:
        expected: Files that it is recognized by, for messages.
        tasks: Tasks that its labels can be for.
        find: Returns its parts in a folder, for a task.
        read: Reads a part, for a task and with class names.
    """

    expected: str
    tasks: frozenset[Task]
    find: Callable[[Path, Task | None], Parts]
    read: Callable[[Part, Task | None, Sequence[str] | None], LabeledPhotos]


def _read_coco(part: Part, task: Task | None, _: object) -> LabeledPhotos:
    return read_coco(part.labels, part.images, task=task)


def _find_voc(root: Path, task: Task | None) -> Parts:
    if task is Task.SEMSEG:
        return find_voc_masks(root)
    return find_voc(root) or (find_voc_masks(root) if task is None else {})


def _read_voc(part: Part, task: Task | None) -> LabeledPhotos:
    read = read_voc_masks if task is Task.SEMSEG or has_masks(part.labels) else read_voc
    return read(part, task=task)


_READERS: Mapping[DatasetLayout, _Reader] = {
    DatasetLayout.ROBOFLOW_COCO: _Reader(
        ROBOFLOW_FILE, _COCO, lambda root, _: find_roboflow(root), _read_coco
    ),
    DatasetLayout.ROBOFLOW_SEG: _Reader(
        f"{CLASSES_FILE} with x_mask.png",
        frozenset({Task.SEMSEG}),
        lambda root, _: find_masks(root),
        lambda part, task, _: read_masks(part, task=task),
    ),
    DatasetLayout.YOLO: _Reader(
        "data.yaml, or images/ with labels/",
        _OBJECTS,
        lambda root, _: find_yolo(root),
        lambda part, task, classes: read_yolo(part, task=task, classes=classes),
    ),
    DatasetLayout.VOC: _Reader(
        "Annotations/ with x.xml, x.xml beside x.jpg, or SegmentationClass/ with x.png",
        frozenset({Task.DETECTION, Task.SEMSEG}),
        lambda root, task: _find_voc(root, task),
        lambda part, task, _: _read_voc(part, task),
    ),
    DatasetLayout.COCO: _Reader("instances.json", _COCO, find_coco, _read_coco),
    DatasetLayout.CSV: _Reader(
        "a CSV file with the columns file and class_index",
        _PHOTOS,
        lambda root, _: find_table(root),
        lambda part, task, classes: read_table(part, task=task, classes=classes),
    ),
    DatasetLayout.CLS_FOLDER: _Reader(
        "a folder of photos for each class",
        _PHOTOS,
        lambda root, _: find_folders(root),
        lambda part, task, _: read_folders(part, task=task),
    ),
}
"""Readers by layout. All data sets have photos in folders, so class folders come last."""


def read_dataset(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    split: DatasetSplitType | str | None = None,
    layout: DatasetLayout | str | None = None,
    task: Task | str | None = None,
    classes: Sequence[str] | None = None,
) -> LabeledPhotos:
    """Read a data set, or a part of it, in any known layout.

    | layout | folder or file |
    |---|---|
    | `CLS_FOLDER` | a folder of photos for each class |
    | `CSV` | rows of `file` and `class_index`, or of `file` and `label` |
    | `COCO` | `instances.json`, or `annotations/instances_val2017.json` beside `val2017/` |
    | `ROBOFLOW_COCO` | `_annotations.coco.json` among the photos |
    | `YOLO` | `data.yaml`, or `images/` with `labels/` |
    | `VOC` | `Annotations/` or `SegmentationClass/`, `JPEGImages/`, or `x.xml` beside `x.jpg` |
    | `ROBOFLOW_SEG` | `x_mask.png` beside `x.jpg`, and `_classes.csv` |

    Parts are in folders such as `train` and `val` (or `valid`), or named in the files.

    Args:
        path: Folder of the data set, or file of the labels, or a folder of label files.
        images: Folder of the photos, if it is not that of the labels and the labels do not tell.
        split: Part to read: train, val or test. It is needed if there are several.
        layout: Layout of the labels; by default it is recognized.
        task: Task that the labels must be for; by default the most specific one.
        classes: Names of classes, whose indices the class ids become; objects of other classes are
            left out. By default, the classes of the data set in its own order.

    Raises:
        DatasetError: The layout is unknown or ambiguous, there is no such part, or a file cannot be
            read.
        ValueError: `layout` or `task` is no known name.
    """
    path = Path(path)
    images = None if images is None else Path(images)
    task = None if task is None else Task(task)
    with _naming_folder(path):
        found, parts = _find(path, images, _as_layout(layout), task)
        part = _choose(path, parts, None if split is None else as_split(split))
        photos = _READERS[found].read(part, task, classes)
    return photos if classes is None else with_classes(photos, tuple(classes))


def dataset_splits(
    path: str | os.PathLike[str],
    *,
    layout: DatasetLayout | str | None = None,
    task: Task | str | None = None,
) -> tuple[DatasetSplitType, ...]:
    """Return the parts of a data set; empty if it is not split.

    For the arguments and errors see `read_dataset`.
    """
    path = Path(path)
    with _naming_folder(path):
        _, parts = _find(path, None, _as_layout(layout), None if task is None else Task(task))
    return tuple(split for split in parts if split is not None)


def is_bare_file(labels: object) -> bool:
    """Return whether labels are a file that names photos without their folder: COCO or CSV."""
    if not isinstance(labels, (str, os.PathLike)):
        return False
    return Path(labels).suffix.lower() in (".csv", ".json") and Path(labels).name != CLASSES_FILE


def _as_layout(layout: DatasetLayout | str | None) -> DatasetLayout | None:
    """Return the layout to look for; Focoos' catalog has data sets of any layout."""
    found = None if layout is None else DatasetLayout(layout)
    return None if found is DatasetLayout.CATALOG else found


def _find(
    path: Path, images: Path | None, layout: DatasetLayout | None, task: Task | None
) -> tuple[DatasetLayout, Parts]:
    """Return the layout of a data set, and its parts."""
    if path.is_dir():
        is_same = images is not None and images.is_dir() and path.samefile(images)
        found = _find_in_folder(path, None if is_same else images, layout, task)
    elif path.is_file():
        found = _find_file(path, images)
    else:
        msg = f"{path} does not exist: expected a folder of a data set, or a file of labels"
        raise DatasetError(msg)
    if layout not in (None, found[0]):
        msg = f"{path} has the layout {found[0].value}, expected {layout.value if layout else ''}"
        raise DatasetError(msg)
    if task is not None and task not in _READERS[found[0]].tasks:
        known = " or ".join(sorted(each.value for each in _READERS[found[0]].tasks))
        msg = f"{path} has labels for {known}, expected labels for {task.value}"
        raise DatasetError(msg)
    return found


def _find_file(path: Path, images: Path | None) -> tuple[DatasetLayout, Parts]:
    """Return the layout of a file of labels."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        is_roboflow = path.name == ROBOFLOW_FILE
        layout = DatasetLayout.ROBOFLOW_COCO if is_roboflow else DatasetLayout.COCO
        return layout, {None: Part(path, images)}
    if suffix == ".csv" and path.name != CLASSES_FILE:
        return DatasetLayout.CSV, {None: Part(path, images)}
    if suffix in (".yaml", ".yml"):
        _refuse_images(path, images)
        return DatasetLayout.YOLO, parts_of_config(path)
    msg = (
        f"{path} is no file of labels: expected .json (COCO), .csv, .yaml (YOLO), or a folder of a "
        "data set"
    )
    raise DatasetError(msg)


def _find_in_folder(
    path: Path, images: Path | None, layout: DatasetLayout | None, task: Task | None
) -> tuple[DatasetLayout, Parts]:
    """Return the layout of a folder, and its parts.

    Raises:
        DatasetError: There is none, or more than one.
    """
    if images is not None and (bare := _bare_labels(path, task)) is not None:
        return bare, {None: Part(path, images)}
    found: dict[DatasetLayout, Parts] = {}
    for each, reader in _READERS.items():
        if layout != each and (layout or (task is not None and task not in reader.tasks)):
            continue
        if each is DatasetLayout.CLS_FOLDER and found:
            continue
        if parts := reader.find(path, task):
            found[each] = parts
    if len(found) == 1:
        ((one, parts),) = found.items()
        _refuse_other_labels(path, one, layout, task)
        if one in (DatasetLayout.COCO, DatasetLayout.CSV) and images is not None:
            return one, {split: replace(part, images=images) for split, part in parts.items()}
        _refuse_images(path, images)
        return one, parts
    if found:
        names = " and ".join(each.value for each in found)
        msg = f"{path} has labels in several layouts, {names}: pass layout=, or a file of labels"
        raise DatasetError(msg)
    if (path / CONFIG_FILE).is_file():
        parts_of_config(path / CONFIG_FILE)  # or an error that says why it is not one
    looked = "; ".join(
        f"{reader.expected} ({each.value})"
        for each, reader in _READERS.items()
        if layout == each or (layout is None and (task is None or task in reader.tasks))
    )
    what = f"for {task.value} " if task else ""
    msg = f"{path} has no labels {what}in a known layout: looked for {looked}"
    raise DatasetError(msg)


def _refuse_other_labels(
    path: Path, found: DatasetLayout, given: DatasetLayout | None, task: Task | None
) -> None:
    """Raise an error if what looks like class folders has labels for other tasks."""
    if found is not DatasetLayout.CLS_FOLDER or given is not None or task is None:
        return
    for layout, reader in _READERS.items():
        if task not in reader.tasks and reader.find(path, None):
            known = " or ".join(sorted(each.value for each in reader.tasks))
            msg = (
                f"{path} has labels for {known} ({layout.value}), expected labels for "
                f"{task.value}; layout='cls_folder' takes its folders as classes"
            )
            raise DatasetError(msg)


def _bare_labels(folder: Path, task: Task | None) -> DatasetLayout | None:
    """Return the layout of a folder that has only label files of photos elsewhere, or None."""
    if task is Task.SEMSEG and has_masks(folder) and not (folder / CLASSES_FILE).is_file():
        return DatasetLayout.VOC
    suffixes = {each.suffix.lower() for each in folder.iterdir()}
    if not suffixes.isdisjoint({".csv", ".json", ".yaml", ".yml"}):
        return None
    if ".xml" in suffixes:
        return DatasetLayout.VOC
    return DatasetLayout.YOLO if ".txt" in suffixes else None


def _refuse_images(path: Path, images: Path | None) -> None:
    if images is not None:
        msg = f"{path} tells where its photos are: leave out images={str(images)!r}"
        raise DatasetError(msg)


def _choose(path: Path, parts: Parts, split: DatasetSplitType | None) -> Part:
    """Return the part to read.

    Raises:
        DatasetError: There is no such part, or there are several and none was chosen.
    """
    if split in parts:
        return parts[split]
    names = ", ".join(each.value for each in parts if each is not None)
    if split is not None and not names:
        msg = f"{path} is not split into parts, expected a part {split.value}"
    elif split is not None:
        msg = f"{path} has no part {split.value}, only {names}"
    elif len(parts) == 1:
        return next(iter(parts.values()))
    else:
        msg = f"{path} has the parts {names}: pass split="
    raise DatasetError(msg)


@contextmanager
def _naming_folder(path: Path) -> Iterator[None]:
    """Convert an error of the file system to one that names the data set."""
    try:
        yield
    except OSError as error:
        msg = f"{path} cannot be read: {error.filename}: {error.strerror or error}"
        raise DatasetError(msg) from error
