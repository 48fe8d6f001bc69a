"""`furiosa-models verify`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from ..artifacts import Accuracy
from ..catalog import get_model
from ..errors import ArtifactNotFound
from ..evaluation import Evaluation, evaluate
from ..model import Model
from ..runtime.sync import Precision
from . import options
from .table import print_json, print_table

__all__ = ["command"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@click.command("verify")
@click.argument("model")
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the photos.",
)
@click.option(
    "--labels",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="COCO annotations (JSON), or a CSV file with the columns file and class_index.",
)
@options.weights
@options.draft
@options.device
@options.postprocess
@click.option(
    "--precision",
    "only",
    type=click.Choice(PRECISIONS),
    help="Measure that one only; by default both are, where there is an int8 program.",
)
@options.json_output
def command(
    model: str,
    images: Path,
    labels: Path,
    weights: str | None,
    draft: bool,
    device: str | None,
    postprocess: str,
    only: Precision | None,
    as_json: bool,
) -> None:
    """Measure the accuracy of a MODEL on labelled photos: fp32, int8 and published side by side."""
    with get_model(model, weights=weights, postprocessor_type=postprocess) as network:
        measured = {
            precision: evaluate(
                network, images, labels, device=device, precision=precision, draft=draft
            )
            for precision in ([only] if only else _precisions(network))
        }
        artifact = network.catalogue().get(network.weights)
        published = artifact.accuracy if artifact else ()
    (first, *_) = measured.values()
    if as_json:
        figures = {precision: found.figures for precision, found in measured.items()}
        known = [accuracy._asdict() for accuracy in published]
        print_json({**asdict(first), "figures": figures, "published": known})
        return
    click.secho(f"{first.model}/{first.weights} on {first.photos} photos", bold=True)
    print_table(["metric", *measured, "published", "published on"], _rows(measured, published))


def _precisions(network: Model[Any]) -> list[Precision]:
    """What the weights in use can be run in."""
    try:
        network.cpu_program(precision="int8")
    except ArtifactNotFound as error:
        click.echo(f"no int8: {error}", err=True)
        return ["fp32"]
    return [*PRECISIONS]


def _rows(
    measured: Mapping[Precision, Evaluation], published: tuple[Accuracy, ...]
) -> list[list[str]]:
    rows = []
    for metric in next(iter(measured.values())).figures:
        known = [a for a in published if a.metric == metric]
        figures = ", ".join(f"{a.value:.4f}" for a in known)
        where = ", ".join(f"{a.dataset} ({a.measured_by})" for a in known)
        ours = [f"{found.figures[metric]:.4f}" for found in measured.values()]
        rows.append([metric, *ours, figures or "-", where or "-"])
    return rows
