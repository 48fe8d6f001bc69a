"""Semantic segmentation as Roboflow exports it: a picture of class numbers beside each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..enums import DatasetLayout, Task
from ..errors import DatasetError, ImageError
from ..images.size import read_size
from .files import list_photos, naming_errors, read_csv
from .part import Part, Parts, parts_by_folder
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["CLASSES_FILE", "MASK_SUFFIX", "find_masks", "load_mask", "read_masks"]

CLASSES_FILE = "_classes.csv"
"""Name of the table of classes: the value of each in the masks, and its name."""

MASK_SUFFIX = "_mask.png"
"""End of the name of a mask; `street_mask.png` is that of `street.jpg`."""

_KIND = "a table of classes with the columns of pixel values and names"
_NO_CLASS = 255
_MAX = 1 << 28  # pixels


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


def load_mask(labels: LabeledPhotos, photo: LabeledPhoto) -> LabeledPhoto:
    """Return a photo whose mask is an array of class ids: (height, width) uint8, 255 for no class.

    Args:
        labels: The data set, which tells the classes of the values.
        photo: A photo of it.

    Raises:
        DatasetError: The mask has colors, where values are expected.
        ImageError: It cannot be read.
    """
    if not isinstance(photo.mask, Path):
        return photo
    values = _read_values(photo.mask)
    ids = np.full(_NO_CLASS + 1, _NO_CLASS, np.uint8)
    ids[list(labels.class_numbers)] = np.arange(len(labels.classes))
    return replace(photo, mask=ids[values])


def _read_values(path: Path) -> npt.NDArray[np.uint8]:
    """Return the values of a mask; those of a palette, not its colors."""
    from PIL import Image

    read_size(path)  # or an error that says what is wrong
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode not in ("1", "L", "P") or image.width * image.height > _MAX:
                size = f"{image.width}x{image.height}"
                msg = f"{path} is no mask: expected a value per pixel, got {size} of {image.mode}"
                raise DatasetError(msg)
            return np.asarray(image).astype(np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"mask {str(path)!r} cannot be read: {error}"
        raise ImageError(msg) from error


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
        if not classes or len(numbers) < len(classes) or not numbers <= {*range(_NO_CLASS)}:
            msg = f"expected different values below {_NO_CLASS}, got {sorted(numbers)[:5]}"
            raise ValueError(msg)
        return classes
