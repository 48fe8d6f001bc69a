"""`furiosa-models train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options
from .messages import suggest_predict
from .models import open_model
from .table import print_json

__all__ = ["command"]


def _extra(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of `--set NAME=VALUE`, with values as JSON or text."""
    import json

    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            msg = f"expected NAME=VALUE, got {value!r}"
            raise click.BadParameter(msg)
        try:
            word = text.lower() if text in ("True", "False") else text
            found[name.replace("-", "_")] = json.loads(word)
        except ValueError:
            found[name.replace("-", "_")] = text
    return found


@click.command("train")
@options.model
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Labeled photos: a folder or file in the layout of COCO, YOLO, VOC, CSV, or a folder for "
    "each class.",
)
@click.option(
    "--val",
    type=click.Path(exists=True, path_type=Path),
    help="Photos to evaluate on; by default the validation part of --data.",
)
@options.output_folder("Folder of the run; every command accepts it as MODEL afterwards.")
@click.option("--iterations", type=click.IntRange(min=1), default=3000, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--learning-rate", type=float, default=5e-4, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder.")
@click.option("--no-augmentation", is_flag=True, help="Train on the photos as they are.")
@click.option(
    "--set",
    "extra",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_extra,
    help="Any other argument of TrainerArgs, such as ema_enabled=true; may be repeated.",
)
@options.weights
@options.labels
@options.task
@options.json_output
def command(
    model: str,
    data: Path,
    val: Path | None,
    output: Path,
    iterations: int,
    batch_size: int,
    learning_rate: float,
    device: str,
    resume: bool,
    no_augmentation: bool,
    extra: dict[str, Any],
    weights: str | None,
    labels: str | None,
    task: str | None,
    as_json: bool,
) -> None:
    """Train a MODEL on labeled photos; needs PyTorch (the extra `train`).

    The folder gets the trained model, a log, metrics.json, curves.png and pictures of predictions.
    """
    from ..training.args import TrainerArgs

    known: dict[str, Any] = {
        "run_name": output.name,
        "ckpt_dir": output,
        "max_iters": iterations,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "device": device,
        "resume": resume,
    }
    if no_augmentation:
        known["augmentations"] = False
    try:
        args = TrainerArgs.from_dict({**known, **extra})
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with open_model(model, weights, labels=labels, task=task) as network:
        trained = network.train(args, data, val, _hub() if args.sync_to_hub else None)
    facts = {
        "folder": str(trained.folder),
        "iterations": trained.iterations,
        "best_iteration": trained.best_iteration,
        "stopped": trained.stopped,
        "seconds": round(trained.seconds, 1),
        "photos_per_second": round(trained.photos_per_second, 2),
        "figures": dict(trained.best),
    }
    if as_json:
        print_json(facts)
        return
    figures = ", ".join(f"{name} {value:.4f}" for name, value in trained.best.items())
    click.echo(
        f"{figures} after {trained.best_iteration} of {trained.iterations} iterations; "
        f"{trained.seconds:.0f} s, {trained.photos_per_second:.1f} photos per second"
    )
    click.echo(f"  -> {trained.folder}")
    suggest_predict(trained.folder)


def _hub() -> Any:
    from ..hub import FocoosHUB

    return FocoosHUB()
