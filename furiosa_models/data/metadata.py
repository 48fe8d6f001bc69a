"""Facts about a data set, with the names of Focoos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..enums import Task
from ..errors import DatasetError
from ..output import new_file
from .files import naming_errors, read_json
from .records import LabeledPhotos

__all__ = ["DatasetMetadata"]

_KIND = "a JSON file of facts about a data set"
_IGNORED = 255


@dataclass
class DatasetMetadata:
    """Facts about a data set; those of objects are called things, those of areas stuff.

    Attributes:
        num_classes: Number of classes.
        task: Task of the labels.
        count: Number of photos.
        name: Name of the data set.
        image_root: Folder of the photos.
        thing_classes: Names of the classes, unless they are of semantic segmentation.
        stuff_classes: Names of the classes of semantic segmentation.
        sem_seg_root: Folder of the masks.
        panoptic_root: Folder of panoptic masks.
        ignore_label: Value in masks that is no class.
        thing_dataset_id_to_contiguous_id: Class id by number in the labels.
        stuff_dataset_id_to_contiguous_id: Class id by value in the masks.
        json_file: File of the labels.
        keypoints: Names of the keypoints.
        keypoints_skeleton: Pairs of connected keypoints, counted from 1.
    """

    num_classes: int
    task: Task
    count: int | None = None
    name: str | None = None
    image_root: str | None = None
    thing_classes: list[str] | None = None
    _thing_colors: list[tuple[int, int, int]] | None = None
    stuff_classes: list[str] | None = None
    _stuff_colors: list[tuple[int, int, int]] | None = None
    sem_seg_root: str | None = None
    panoptic_root: str | None = None
    ignore_label: int | None = None
    thing_dataset_id_to_contiguous_id: dict[int, int] | None = None
    stuff_dataset_id_to_contiguous_id: dict[int, int] | None = None
    json_file: str | None = None
    keypoints: list[str] | None = None
    keypoints_skeleton: list[tuple[int, int]] | None = None

    @property
    def classes(self) -> list[str]:
        """Names of the classes.

        Raises:
            DatasetError: They are not known.
        """
        names = self.stuff_classes if self.task is Task.SEMSEG else self.thing_classes
        if names is None:
            msg = f"the data set {self.name or ''} does not tell the names of its classes"
            raise DatasetError(msg)
        return names

    @classmethod
    def of(cls, photos: LabeledPhotos, name: str) -> DatasetMetadata:
        """Return facts about labeled photos."""
        ids = {number: index for index, number in enumerate(photos.class_numbers)}
        is_stuff = photos.task is Task.SEMSEG
        kind = "stuff" if is_stuff else "thing"
        facts: dict[str, Any] = {
            f"{kind}_classes": [*photos.classes],
            f"{kind}_dataset_id_to_contiguous_id": ids or None,
        }
        return cls(
            num_classes=len(photos.classes),
            task=photos.task,
            count=len(photos),
            name=name,
            image_root=str(photos[0].path.parent) if photos else None,
            ignore_label=_IGNORED if is_stuff else None,
            sem_seg_root=str(photos.source) if is_stuff else None,
            json_file=str(photos.source) if photos.source.suffix == ".json" else None,
            keypoints=[*photos.keypoints] or None,
            keypoints_skeleton=[*photos.skeleton] or None,
            **facts,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DatasetMetadata:
        """Return facts from a dictionary; unknown keys are ignored.

        Raises:
            TypeError: The number of classes or the task is missing.
            ValueError: The task is unknown.
        """
        known = {each.name for each in fields(cls)}
        found = cls(**{name: value for name, value in values.items() if name in known})
        found.task = Task(found.task)
        for name in ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id"):
            if (ids := getattr(found, name)) is not None:  # JSON has only strings as keys
                setattr(found, name, {int(number): int(index) for number, index in ids.items()})
        return found

    @classmethod
    def from_json(cls, path: str | Path) -> DatasetMetadata:
        """Return facts from a JSON file, as `dump_json` writes it.

        Raises:
            DatasetError: The file cannot be read, or lacks a fact.
        """
        values = read_json(Path(path), _KIND)
        with naming_errors(Path(path), _KIND):
            return cls.from_dict(values)

    def dump_json(self, path: str | Path) -> None:
        """Write the facts to a new JSON file.

        Raises:
            FuriosaModelsError: The file exists already, or cannot be written.
        """
        with new_file(path) as partial:
            partial.write_text(json.dumps(asdict(self), indent=4) + "\n", encoding="utf-8")
