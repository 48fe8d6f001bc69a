"""Semantic segmentation as Roboflow exports it: a picture of class numbers beside each photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..enums import DatasetLayout, Task
from ..errors import DatasetError
from .files import list_photos, naming_errors, read_csv
from .part import Part, Parts, parts_by_folder
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["CLASSES_FILE", "MASK_SUFFIX", "find_masks", "read_masks"]

CLASSES_FILE = "_classes.csv"
"""Name of the table of classes: the value of each in the masks, and its name."""

MASK_SUFFIX = "_mask.png"
"""End of the name of a mask; `street_mask.png` is that of `street.jpg`."""

_KIND = "a table of classes with the columns of pixel values and names"
_MAX_VALUE = 255


def read_masks(part: Part, *, task: Task | None = None) -> LabeledPhotos:
    """Read photos with a mask beside each: `x.jpg`, `x_mask.png` and `_classes.csv`.

    `class_numbers` are the values of the classes in the masks; other values are no class.

    Args:
        part: The folder.
        task: None, or semantic segmentation.

    Raises:
        DatasetError: The table of classes cannot be read, there is no photo, a photo has no mask,
            or the task is another one.
    """
    folder = part.labels
    classes = _read_classes(folder / CLASSES_FILE)
    found = [path for path in list_photos(folder) if not path.name.endswith(MASK_SUFFIX)]
    masks = [path.with_name(path.stem + MASK_SUFFIX) for path in found]
    without = [path.name for path, mask in zip(found, masks, strict=True) if not mask.is_file()]
    if not found or without:
        names = ", ".join(without[:5])
        what = f"{len(without)} photos without a mask ({names})" if found else "no photo"
        msg = f"{folder} has {what}: expected x{MASK_SUFFIX} beside x.jpg"
        raise DatasetError(msg)
    return LabeledPhotos(
        source=folder,
        layout=DatasetLayout.ROBOFLOW_SEG,
        task=choose_task(folder, task, Task.SEMSEG),
        classes=tuple(name for _, name in classes),
        photos=tuple(
            LabeledPhoto(path, position, mask=mask)
            for position, (path, mask) in enumerate(zip(found, masks, strict=True))
        ),
        class_numbers=tuple(number for number, _ in classes),
    )


def find_masks(root: Path) -> Parts:
    """Return the parts of a data set with masks; empty if the folder is none."""

    def find(folder: Path) -> Part | None:
        is_found = (folder / CLASSES_FILE).is_file() and any(folder.glob(f"*{MASK_SUFFIX}"))
        return Part(folder) if is_found else None

    return parts_by_folder(root, find)


def _read_classes(path: Path) -> Sequence[tuple[int, str]]:
    """Return the value and the name of each class."""
    rows = read_csv(path, _KIND)
    with naming_errors(path, _KIND):
        classes = [(int(row[0]), row[1].strip()) for row in rows[1:]]
        numbers = {number for number, _ in classes}
        if not classes or len(numbers) < len(classes) or not numbers <= {*range(_MAX_VALUE)}:
            msg = f"expected different values below {_MAX_VALUE}, got {sorted(numbers)[:5]}"
            raise ValueError(msg)
        return classes
