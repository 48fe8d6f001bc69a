"""Where the parts of a data set are, and the folders that hold one part each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ..enums import DatasetSplitType
from ..errors import DatasetError

__all__ = ["Part", "Parts", "as_split", "part_folders", "parts_by_folder", "split_of_name"]

_NAMES = {
    DatasetSplitType.TRAIN: ("train", "training"),
    DatasetSplitType.VAL: ("val", "valid", "validation"),
    DatasetSplitType.TEST: ("test", "testing"),
}
_BY_NAME = {name: split for split, names in _NAMES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a data set, not yet read.

    Attributes:
        labels: File or folder of the labels.
        images: Folder of the photos, if it is known.
        split: Which part it is, if the labels are of several.
        peers: Labels of all parts, whose classes are the classes of each.
    """

    labels: Path
    images: Path | None = None
    split: DatasetSplitType | None = None
    peers: tuple[Path, ...] = ()


Parts: TypeAlias = Mapping["DatasetSplitType | None", Part]
"""The parts of a data set; the only part of one that is not split has the key None."""


def as_split(name: DatasetSplitType | str) -> DatasetSplitType:
    """Return the part of this name, such as `val`, `valid` or `validation`.

    Raises:
        DatasetError: There is no such part.
    """
    if isinstance(name, DatasetSplitType):
        return name
    if (split := _BY_NAME.get(name.lower())) is None:
        msg = f"unknown split {name!r}: expected train, val or test"
        raise DatasetError(msg)
    return split


def split_of_name(name: str) -> DatasetSplitType | None:
    """Return the part that a file or folder is named for, such as `instances_val2017`, or None."""
    words = name.lower().replace("-", "_").replace(".", "_").split("_")
    found = {_BY_NAME.get(word.rstrip("0123456789")) for word in words} - {None}
    return found.pop() if len(found) == 1 else None


def part_folders(root: Path) -> dict[DatasetSplitType, Path]:
    """Return the folder of each part: `train`, `val`, `valid`, `val2017` and so on.

    Raises:
        DatasetError: Two folders are named for the same part.
    """
    found: dict[DatasetSplitType, Path] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        split = _BY_NAME.get(folder.name.lower().rstrip("0123456789"))
        if split is None or not folder.is_dir():
            continue
        if split in found:
            msg = f"{root} has two folders for {split.value}: {found[split].name}, {folder.name}"
            raise DatasetError(msg)
        found[split] = folder
    return {split: found[split] for split in DatasetSplitType if split in found}


def parts_by_folder(root: Path, find: Callable[[Path], Part | None]) -> Parts:
    """Return the parts of a data set that has a folder for each, or is one that is not split.

    Args:
        root: Folder of the data set.
        find: Returns the part in a folder, or None.
    """
    if (whole := find(root)) is not None:
        return {None: whole}
    found = {split: find(folder) for split, folder in part_folders(root).items()}
    parts = {split: part for split, part in found.items() if part is not None}
    peers = tuple(part.labels for part in parts.values())
    return {split: replace(part, split=split, peers=peers) for split, part in parts.items()}
