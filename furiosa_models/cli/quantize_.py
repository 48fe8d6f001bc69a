"""`furiosa-models quantize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from . import options
from .models import open_model
from .table import print_json

__all__ = ["command"]


@click.command("quantize")
@options.model
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of calibration photos.",
)
@click.option(
    "--truth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Labels of these photos (COCO JSON or CSV), to measure the accuracy before and after.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="New folder for the int8 model; every command accepts it as MODEL.",
)
@click.option("--max-photos", type=click.IntRange(min=1), default=200, show_default=True)
@options.weights
@options.labels
@options.task
@options.json_output
def command(
    model: str,
    images: Path,
    truth: Path | None,
    output: Path,
    max_photos: int,
    weights: str | None,
    labels: str | None,
    task: str | None,
    as_json: bool,
) -> None:
    """Quantize a MODEL to int8, calibrated on your photos, and save it."""
    with open_model(model, weights, labels=labels, task=task) as network:
        int8 = network.quantize(images, labels=truth, max_photos=max_photos)
        folder = int8.save(output)
    report = int8.quantization
    if as_json and report is not None:
        print_json({"model": type(network).__name__, "folder": str(folder), **asdict(report)})
        return
    click.echo(f"{type(network).__name__}: {report}")
    click.echo(f"  -> {folder}")
    click.echo(f"Run it: furiosa-models predict {folder} PHOTO")
