"""Class folders: one folder of photos for each class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..enums import DatasetLayout, Task
from ..errors import DatasetError
from .files import list_photos
from .part import Part, Parts, part_folders, parts_by_folder
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["find_folders", "read_folders"]

_OTHER_FOLDERS = frozenset({"annotations", "images", "jpegimages", "labels", "masks"})
"""Folders of other layouts."""


def read_folders(part: Part, *, task: Task | None = None) -> LabeledPhotos:
    """Read class folders.

    The classes are the sorted names of the folders. Those of the other parts of the data set count,
    too, so that a class that one part lacks does not change the class ids of its other classes.

    Args:
        part: The folder that has the class folders, and its peers.
        task: None, or classification.

    Raises:
        DatasetError: The task is another one, or there is no photo.
    """
    folders = (part.labels, *part.peers)
    names = sorted({each.name for folder in folders for each in _class_folders(folder)})
    photos = [
        LabeledPhoto(path, 0, class_id=class_id)
        for class_id, name in enumerate(names)
        for path in list_photos(part.labels / name, recursive=True)
    ]
    if not photos:
        msg = f"{part.labels} contains no photo in its class folders"
        raise DatasetError(msg)
    return LabeledPhotos(
        source=part.labels,
        layout=DatasetLayout.CLS_FOLDER,
        task=choose_task(part.labels, task, Task.CLASSIFICATION),
        classes=tuple(names),
        photos=tuple(replace(photo, image_id=i) for i, photo in enumerate(photos)),
    )


def find_folders(root: Path) -> Parts:
    """Return the parts of a data set of class folders; empty if the folder has none."""

    def find(folder: Path) -> Part | None:
        classes = _class_folders(folder)
        if all(each.name.lower() in _OTHER_FOLDERS for each in classes):
            return None
        return Part(folder) if any(list_photos(each, recursive=True) for each in classes) else None

    parts = {split: find(folder) for split, folder in part_folders(root).items()}
    if any(parts.values()):  # else a class may be called "train"
        return parts_by_folder(root, lambda folder: None if folder == root else find(folder))
    return parts_by_folder(root, find)


def _class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")
