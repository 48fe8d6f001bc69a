"""`furiosa-models quantize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .messages import suggest_predict
from .models import open_model
from .table import print_json

if TYPE_CHECKING:
    from ..quantization.post_training import Quantization

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
    type=click.Path(exists=True, path_type=Path),
    help="Labels, as for `verify`, to measure the accuracy before and after.",
)
@options.output_folder("New folder for the int8 model; every command accepts it as MODEL.")
@click.option(
    "--truth-images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the labeled photos, if the labels do not tell; for a COCO or CSV file, by "
    "default that of the calibration photos.",
)
@click.option(
    "--max-loss",
    type=float,
    help="Leave layers float until at most this part of the accuracy is lost, such as 0.01.",
)
@click.option("--max-trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--max-photos", type=click.IntRange(min=1), default=200, show_default=True)
@click.option(
    "--full-range",
    is_flag=True,
    help="Use all 8 bits for weights, for NPUs; without VNNI, products overflow on CPUs then.",
)
@options.weights
@options.labels
@options.task
@options.json_output
def command(
    model: str,
    images: Path,
    truth: Path | None,
    output: Path,
    truth_images: Path | None,
    max_loss: float | None,
    max_trials: int,
    max_photos: int,
    full_range: bool,
    weights: str | None,
    labels: str | None,
    task: str | None,
    as_json: bool,
) -> None:
    """Quantize a MODEL to int8, calibrated on your photos, and save it."""
    if max_loss is not None and truth is None:
        msg = "--max-loss needs --truth, to measure the accuracy with"
        raise click.UsageError(msg)
    with open_model(model, weights, labels=labels, task=task) as network:
        int8 = network.quantize(
            images,
            labels=truth,
            images=truth_images,
            max_loss=max_loss,
            max_trials=max_trials,
            max_photos=max_photos,
            reduce_range=not full_range,
        )
        folder = int8.save(output)
    report = int8.quantization
    if as_json and report is not None:
        print_json({"model": type(network).__name__, "folder": str(folder), **_facts(report)})
        return
    click.echo(f"{type(network).__name__}: {report}")
    if report is not None and report.fitted is not None and report.fitted.trials:
        click.echo(f"{report.fitted}\n")
    click.echo(f"  -> {folder}")
    suggest_predict(folder)


def _facts(report: Quantization) -> dict[str, Any]:
    """Return a report for JSON, without the program."""
    facts = asdict(report)
    if facts["fitted"] is not None:
        del facts["fitted"]["program"], facts["fitted"]["calibration"]
    return facts
