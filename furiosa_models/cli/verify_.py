"""`furiosa-models verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..artifacts import Accuracy
from ..catalog import get_model
from ..evaluation import Evaluation, evaluate
from ..runtime.sync import Precision
from . import options
from .table import print_json, print_table

__all__ = ["command"]


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
@options.device
@options.postprocess
@click.option("--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True)
@options.json_output
def command(
    model: str,
    images: Path,
    labels: Path,
    weights: str | None,
    device: str | None,
    postprocess: str,
    precision: Precision,
    as_json: bool,
) -> None:
    """Measure the accuracy of a MODEL on labelled photos, beside what was published."""
    with get_model(model, weights=weights, postprocessor_type=postprocess) as network:
        measured = evaluate(network, images, labels, device=device, precision=precision)
        artifact = network.catalogue().get(network.weights)
        published = artifact.accuracy if artifact else ()
    if as_json:
        print_json({**asdict(measured), "published": [a.model_dump() for a in published]})
        return
    click.secho(f"{measured.model}/{measured.weights} on {measured.photos} photos", bold=True)
    print_table(["metric", "measured", "published", "published on"], _rows(measured, published))


def _rows(measured: Evaluation, published: tuple[Accuracy, ...]) -> list[list[str]]:
    rows = []
    for metric, value in measured.figures.items():
        known = [a for a in published if a.metric == metric]
        figures = ", ".join(f"{a.value:.4f}" for a in known)
        where = ", ".join(f"{a.dataset} ({a.measured_by})" for a in known)
        rows.append([metric, f"{value:.4f}", figures or "-", where or "-"])
    return rows
