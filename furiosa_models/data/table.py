"""CSV files with a photo and its class in each row."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..enums import DatasetLayout, Task
from ..errors import DatasetError
from ..labels import class_names
from .files import first_folder, is_file, naming_errors, read_csv
from .part import Part, Parts, parts_by_folder, split_of_name
from .records import LabeledPhoto, LabeledPhotos, choose_task

__all__ = ["find_table", "read_table"]

_KIND = "a CSV file with the columns file and class_index, or file and label"
_FILE_COLUMNS = ("file", "filename", "file_name", "image", "path", "filepath", "photo")
_INDEX_COLUMNS = ("class_index", "class_id", "index")
_NAME_COLUMNS = ("label", "class", "class_name", "category")
_MAX_CLASSES = 100_000


def read_table(
    part: Part, *, task: Task | None = None, classes: Sequence[str] | None = None
) -> LabeledPhotos:
    """Read a CSV file whose first row names its columns.

    Photos are in the column `file` (or `filename`, `image`, `path`). Classes are in `class_index`
    (or `class_id`) as numbers, or in `label` (or `class`, `category`) as names, which are sorted.
    Numbers are `class_numbers`, and their names are made up unless `classes` has them; -1 is no
    class.

    Args:
        part: The file, the folder of its photos, and its peers.
        task: None, or classification.
        classes: Names of the classes, if the file has numbers.

    Raises:
        DatasetError: The file cannot be read, has other columns, contains no photo, or has a photo
            twice in different classes; or the task is another one.
    """
    rows = _rows(part.labels)
    if not rows:
        msg = f"{part.labels} contains no photo"
        raise DatasetError(msg)
    every = [rows, *(_rows(path) for path in part.peers if path != part.labels)]
    values = {value for each in every for value in each.values()}
    are_numbers = isinstance(next(iter(values)), int)
    if any(isinstance(value, int) != are_numbers for value in values):
        files = ", ".join(path.name for path in (part.labels, *part.peers))
        msg = f"{part.labels}: some of {files} have numbers of classes, and others names"
        raise DatasetError(msg)
    if are_numbers:
        names = _numbered_names(part.labels, {int(value) for value in values}, classes)
        ids: Mapping[str | int, int] = {value: int(value) for value in values}
    else:
        names = tuple(sorted(str(value) for value in values))
        ids = {name: index for index, name in enumerate(names)}
    folder = part.images or _folder_of_photos(part.labels, next(iter(rows)))
    return LabeledPhotos(
        source=part.labels,
        layout=DatasetLayout.CSV,
        task=choose_task(part.labels, task, Task.CLASSIFICATION),
        classes=names,
        photos=tuple(
            LabeledPhoto(folder / name, position, class_id=ids[value])
            for position, (name, value) in enumerate(rows.items())
        ),
        class_numbers=tuple(range(len(names))) if are_numbers else (),
    )


def find_table(root: Path) -> Parts:
    """Return the parts of a data set with CSV files; empty if the folder has none.

    The files are named for their parts, such as `train.csv`, or in a folder for each.
    """
    files = [file for file in sorted(root.glob("*.csv")) if _is_table(file)]
    splits = {split_of_name(file.stem): file for file in files}
    if len(files) > 1 and len(splits) == len(files) and None not in splits:
        peers = tuple(files)
        return {split: Part(file, split=split, peers=peers) for split, file in splits.items()}
    return parts_by_folder(root, _only_table)


def _only_table(folder: Path) -> Part | None:
    files = [file for file in sorted(folder.glob("*.csv")) if _is_table(file)]
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        msg = f"{folder} has several tables of labels ({names}): pass the path of one of them"
        raise DatasetError(msg)
    return Part(files[0]) if files else None


def _is_table(file: Path) -> bool:
    """Return whether the first row of a CSV file names the columns of labels."""
    if not is_file(file):  # reading a pipe may block
        return False
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
            columns = _columns(next(csv.reader([opened.readline(1 << 16)]), []))
    except (OSError, csv.Error):
        return False
    return columns is not None


def _columns(header: Sequence[str]) -> tuple[int, int, bool] | None:
    """Return the columns of photos and classes, and whether classes must be numbers; or None."""
    plain = [name.strip().lower() for name in header]

    def first(names: Sequence[str]) -> int | None:
        return next((plain.index(name) for name in names if name in plain), None)

    file, index, name = first(_FILE_COLUMNS), first(_INDEX_COLUMNS), first(_NAME_COLUMNS)
    if file is None or (index is None and name is None):
        return None
    return (file, index, True) if index is not None else (file, name or 0, False)


def _rows(path: Path) -> dict[str, str | int]:
    """Return the class of each photo: a number if all classes of the file are numbers."""
    content = read_csv(path, _KIND)
    with naming_errors(path, _KIND):
        header, rows = (content or [[]])[0], content[1:]
        if (columns := _columns(header)) is None:
            msg = f"its columns are {', '.join(header)[:80]}"
            raise ValueError(msg)
        file, value, are_numbers = columns
        pairs = [(row[file], row[value]) for row in rows]
        are_numbers = are_numbers or all(_is_number(found) for _, found in pairs)
        found: dict[str, str | int] = {}
        for name, word in pairs:
            label = int(word) if are_numbers else word.strip()
            if found.setdefault(name, label) != label:
                msg = f"{name} is in two classes, {found[name]} and {label}"
                raise ValueError(msg)
        return found


def _is_number(word: str) -> bool:
    return word.strip().removeprefix("-").isdecimal()


def _numbered_names(
    path: Path, numbers: set[int], classes: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the names of classes that have numbers."""
    count = max(numbers) + 1 if classes is None else len(classes)
    if min(numbers) < -1 or max(numbers) >= min(count, _MAX_CLASSES):
        msg = (
            f"{path}: class_index is between {min(numbers)} and {max(numbers)}, expected at least "
            f"-1 and less than {min(count, _MAX_CLASSES)}"
        )
        raise DatasetError(msg)
    return tuple(classes) if classes is not None else class_names(None, count)


def _folder_of_photos(path: Path, name: str) -> Path:
    """Return the folder beside the file that has the first photo."""
    folders = [path.parent, path.parent / "images"]
    if (found := first_folder(name, folders)) is None:
        msg = f"{path}: its first photo, {name[:60]!r}, is not beside it: pass images="
        raise DatasetError(msg)
    return found
