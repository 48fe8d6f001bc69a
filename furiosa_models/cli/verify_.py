"""`furiosa-models verify`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from ..artifacts import Accuracy
from ..errors import ArtifactNotFound
from ..evaluation import Evaluation, evaluate
from ..model import Model
from ..runtime.sync import Precision
from . import options, records
from .messages import note
from .models import open_model
from .table import print_json, print_table

__all__ = ["command"]

_OUR_PREFIX = "furiosa_models "
"""Prefix of `measured_by` in the catalog for figures that this package measured."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@click.command("verify")
@options.model
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of photos, if the labels do not tell.",
)
@click.option(
    "--labels",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Labels: COCO JSON, a CSV file with the columns file and class_index, data.yaml of YOLO, "
    "or the folder of a data set (class folders, YOLO, Pascal VOC, Roboflow), or of mattes.",
)
@click.option(
    "--split", help="Part of a data set that has several, such as test; by default validation."
)
@options.weights
@click.option("--names", help="Names of the classes, as for `predict --labels`.")
@options.task
@options.draft
@options.device
@options.postprocess
@click.option(
    "--precision",
    "only",
    type=click.Choice(PRECISIONS),
    help="Measure only this precision; by default both, if there is an int8 program.",
)
@records.record
@options.json_output
def command(
    model: str,
    images: Path | None,
    labels: Path,
    split: str | None,
    weights: str | None,
    names: str | None,
    task: str | None,
    draft: bool,
    device: str | None,
    postprocess: str,
    only: Precision | None,
    record: Path | None,
    as_json: bool,
) -> None:
    """Measure the fp32 and int8 accuracy of a MODEL on labeled photos; show known figures, too.

    `published` are the figures of the publisher of the weights. `in the catalog` are figures that
    this package measured before; they are no independent confirmation.
    """
    same: dict[str, Any] = {"split": split, "device": device, "draft": draft}
    with open_model(model, weights, labels=names, task=task, postprocess=postprocess) as network:
        measured = {
            precision: evaluate(network, images, labels, precision=precision, **same)
            for precision in ([only] if only else _precisions(network))
        }
        artifact = network.catalog().get(network.weights)
        published = artifact.accuracy if artifact else ()
    (first, *_) = measured.values()
    if record is not None:
        for precision, found in measured.items():
            rounded = {name: round(value, 4) for name, value in found.figures.items()}
            facts = {**asdict(found), "figures": rounded, "labels": labels.name}
            records.append_record(record, **facts, precision=precision)
    if as_json:
        figures = {precision: found.figures for precision, found in measured.items()}
        theirs, ours = ([a._asdict() for a in part] for part in _by_source(published))
        known = {"published": theirs, "in_the_catalog": ours}
        print_json({**asdict(first), "figures": figures, **known})
        return
    click.secho(f"{first.model}/{first.weights} on {first.photos} photos", bold=True)
    print_table(["metric", *measured, "published", "in the catalog"], _rows(measured, published))


def _precisions(network: Model[Any]) -> list[Precision]:
    """Return the precisions that the weights in use support."""
    try:
        network.cpu_program(precision="int8")
    except ArtifactNotFound as error:
        note(f"no int8: {error}")
        return ["fp32"]
    return [*PRECISIONS]


def _by_source(figures: Sequence[Accuracy]) -> tuple[list[Accuracy], list[Accuracy]]:
    """Separate figures into those of others and those that this package measured."""
    ours = [figure for figure in figures if figure.measured_by.startswith(_OUR_PREFIX)]
    return [figure for figure in figures if figure not in ours], ours


def _rows(
    measured: Mapping[Precision, Evaluation], known: Sequence[Accuracy]
) -> Iterator[list[str]]:
    for metric in next(iter(measured.values())).figures:
        figures = [f"{found.figures[metric]:.4f}" for found in measured.values()]
        for part in _by_source([each for each in known if each.metric == metric]):
            cells = [f"{a.value:.4f} ({a.dataset}; {a.measured_by})" for a in part]
            figures.append(", ".join(cells) or "-")
        yield [metric, *figures]
