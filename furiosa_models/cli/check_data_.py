"""`furiosa-models check-data`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..data.checks import check_dataset
from ..data.recognize import dataset_splits, read_dataset
from ..data.records import LabeledPhotos
from ..enums import DatasetLayout, DatasetSplitType
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
@click.option("--model", help="Model whose classes the labels must have: a name, file or folder.")
@options.json_output
def command(
    data: Path,
    val: Path | None,
    images: Path | None,
    layout: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Check labeled photos: DATA is the folder of a data set, or a file of labels."""
    train, validation = _read(data, images, layout, val)
    classes = None
    if model is not None:
        with open_model(model) as network:
            classes = [*network.names.values()]
    report = check_dataset(train, validation, classes)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(report)
    if report.errors:
        sys.exit(1)


def _read(
    data: Path, images: Path | None, layout: str | None, val: Path | None
) -> tuple[LabeledPhotos, LabeledPhotos | None]:
    """Return the parts to train and to validate with, or all photos and None."""
    splits = () if images is not None else dataset_splits(data, layout=layout)

    def part(split: DatasetSplitType | None) -> LabeledPhotos:
        return read_dataset(data, images=images, split=split, layout=layout)

    if val is not None:
        other = _VAL if _VAL in dataset_splits(val) else None
        return part(_TRAIN if _TRAIN in splits else None), read_dataset(val, split=other)
    if _TRAIN in splits and _VAL in splits:
        return part(_TRAIN), part(_VAL)
    return part(splits[0] if len(splits) == 1 else None), None
