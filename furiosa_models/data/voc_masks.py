"""Semantic segmentation in the form of Pascal VOC: a PNG file of class numbers for each photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..enums import DatasetLayout, DatasetSplitType, Task
from ..errors import DatasetError
from ..labels import load_labels
from .files import list_photos, read_text
from .part import Part, Parts, split_of_name
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["MASKS", "find_voc_masks", "has_masks", "read_voc_masks"]

MASKS = "SegmentationClass"
"""Folder of the masks; the photos are in `JPEGImages` beside it."""

_PHOTOS, _LISTS, _CLASSES = "JPEGImages", "ImageSets/Segmentation", "classes.txt"
_MOST = 255


def has_masks(folder: Path) -> bool:
    """Return whether a folder has masks: PNG files, and no annotation files."""
    return any(folder.glob("*.png")) and not any(folder.glob("*.xml"))


def find_voc_masks(root: Path) -> Parts:
    """Return the parts of a data set with masks; empty if the folder is none."""
    masks, images = root / MASKS, root / _PHOTOS
    if not masks.is_dir():
        years = [each for each in root.glob("VOC*") if each.is_dir()] if root.is_dir() else []
        return find_voc_masks(years[0]) if len(years) == 1 else {}
    if not has_masks(masks):
        return {}
    folder = images if images.is_dir() else None
    lists = [(split_of_name(file.stem), file) for file in sorted((root / _LISTS).glob("*.txt"))]
    parts: dict[DatasetSplitType | None, Part] = {
        split: Part(masks, folder, split)
        for split, file in lists
        if split is not None and file.stem == split.value
    }
    return parts or {None: Part(masks, folder)}


def read_voc_masks(part: Part, *, task: Task | None = None) -> LabeledPhotos:
    """Read masks: PNG files whose values, also those of a palette, are class numbers.

    The names of the classes by their numbers are in `classes.txt`, one per line, in the folder of
    the masks or above it; by default they are the 21 of Pascal VOC, with the background. Other
    values, such as 255, are no class.

    Args:
        part: The folder of the masks; the folder of the photos, by default the same; and which of
            the lists in `ImageSets/Segmentation` to read.
        task: None, or semantic segmentation.

    Raises:
        DatasetError: There is no mask, a mask has no photo, a file cannot be read, or the task is
            another one.
    """
    masks = {path.stem: path for path in sorted(part.labels.glob("*.png"))}
    photos = {path.stem: path for path in list_photos(part.images or part.labels)}
    if part.images is None:  # photos beside the masks are no PNG files
        photos = {path.stem: path for path in photos.values() if path.suffix.lower() != ".png"}
    stems = [*masks] if part.split is None else _listed(part, part.split)
    lost = [stem for stem in stems if stem not in masks or stem not in photos]
    if not stems or lost:
        names = ", ".join(lost[:5])
        what = f"{len(lost)} masks or photos are missing ({names})" if lost else "there is no mask"
        msg = f"{part.labels}: {what}: expected a photo and a mask x.png of each name"
        raise DatasetError(msg)
    classes = _classes(part.labels)
    return LabeledPhotos(
        source=part.labels,
        layout=DatasetLayout.VOC,
        task=choose_task(part.labels, task, Task.SEMSEG),
        classes=tuple(classes),
        photos=tuple(
            LabeledPhoto(photos[stem], position, mask=masks[stem])
            for position, stem in enumerate(stems)
        ),
        class_numbers=tuple(range(len(classes))),
    )


def _listed(part: Part, split: DatasetSplitType) -> list[str]:
    """Return the names of the photos in the list of a part."""
    text = read_text(part.labels.parent / _LISTS / f"{split.value}.txt")
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _classes(folder: Path) -> Sequence[str]:
    """Return the names of the classes by their numbers."""
    for path in (folder / _CLASSES, folder.parent / _CLASSES):
        if path.is_file():
            names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
            if not 0 < len(names) <= _MOST:
                msg = f"{path}: expected 1 to {_MOST} names of classes, got {len(names)}"
                raise DatasetError(msg)
            return names
    return load_labels("voc21")
