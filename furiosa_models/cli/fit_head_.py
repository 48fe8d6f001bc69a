"""`furiosa-models fit-head`."""

from __future__ import annotations

from pathlib import Path

import click

from ..output import check_new_folder
from . import options
from .messages import suggest_predict
from .models import open_model
from .outputs import check_picture
from .table import print_json

__all__ = ["command"]


@click.command("fit-head")
@options.model
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--val",
    type=click.Path(exists=True, path_type=Path),
    help="Photos to measure the accuracy on; by default the validation part of DATA, or else a "
    "cross-validation.",
)
@options.output_folder("New folder for the model; every command accepts it as MODEL.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the confusion matrix into this picture.",
)
@options.weights
@options.device
@options.json_output
def command(
    model: str,
    data: Path,
    val: Path | None,
    output: Path,
    plot: Path | None,
    weights: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Fit the last layer of a classifier, MODEL, to the photos in DATA, without PyTorch.

    DATA is a folder with a folder of photos for each class, or labels in another layout (CSV, COCO,
    YOLO, VOC); of boxes, the crops are classified.
    """
    check_new_folder(output)
    if plot is not None:
        check_picture(plot)
    with open_model(model, weights) as network:
        fitted = network.fit_head(data, val, device=device)
        folder = fitted.save(output)
    report = fitted.fitted_head
    if report is None:  # it is always set by `fit_head`
        return
    if plot is not None:
        report.plot().save(plot)
    if as_json:
        print_json({"folder": str(folder), **report.to_dict()})
        return
    click.echo(f"{report}\n  -> {folder}")
    if plot is not None:
        click.echo(f"  -> {plot}")
    suggest_predict(folder)
