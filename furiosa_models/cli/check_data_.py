"""`furiosa-models check-data`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import click

from ..data.checks import check_dataset
from ..data.recognize import dataset_splits, read_dataset
from ..data.records import LabeledPhotos
from ..enums import DatasetLayout, DatasetSplitType, Task
from . import options
from .models import open_model
from .table import print_json

__all__ = ["command"]

_DATA = click.Path(exists=True, path_type=Path)
_TRAIN, _VAL = DatasetSplitType.TRAIN, DatasetSplitType.VAL


@click.command("check-data")
@click.argument("data", type=_DATA)
@click.option("--val", type=_DATA, help="Data set to validate with; by default that part of DATA.")
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the photos of DATA, if its labels do not tell.",
)
@click.option(
    "--layout",
    type=click.Choice([layout.value for layout in DatasetLayout]),
    help="Layout of DATA; by default it is recognized.",
)
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    help="Task that the labels must be for; by default that of the MODEL, if there is one.",
)
@click.option("--model", help="Model whose classes the labels must have: a name, file or folder.")
@options.json_output
def command(
    data: Path,
    val: Path | None,
    images: Path | None,
    layout: str | None,
    task: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Check labeled photos: DATA is the folder of a data set, or a file of labels."""
    classes = None
    if model is not None:
        with open_model(model) as network:
            classes = [*network.names.values()]
            task = task or network.vision_task.task
    data_set = _DataSet(data, images, layout, task)
    train, validation = data_set.read() if val is None else data_set.read_with(val)
    report = check_dataset(train, validation, classes)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(report)
    if report.errors:
        sys.exit(1)


class _DataSet(NamedTuple):
    """The data set to check, and how to read it."""

    path: Path
    images: Path | None
    layout: str | None
    task: str | None

    def splits(self) -> tuple[DatasetSplitType, ...]:
        if self.images is not None:
            return ()
        return dataset_splits(self.path, layout=self.layout, task=self.task)

    def part(self, split: DatasetSplitType | None) -> LabeledPhotos:
        return read_dataset(
            self.path, images=self.images, split=split, layout=self.layout, task=self.task
        )

    def read(self) -> tuple[LabeledPhotos, LabeledPhotos | None]:
        """Return the parts to train and to validate with, or all photos and None."""
        splits = self.splits()
        if _TRAIN in splits and _VAL in splits:
            return self.part(_TRAIN), self.part(_VAL)
        return self.part(splits[0] if len(splits) == 1 else None), None

    def read_with(self, val: Path) -> tuple[LabeledPhotos, LabeledPhotos]:
        """Return the part to train with, and the one of another data set to validate with."""
        other = _DataSet(val, None, None, self.task)
        return (
            self.part(_TRAIN if _TRAIN in self.splits() else None),
            other.part(_VAL if _VAL in other.splits() else None),
        )
