"""`furiosa-models tune`."""

from __future__ import annotations

import click

from ..enums import Precision
from ..runtime import tuned
from ..runtime.source import program_of
from ..runtime.tune import SECONDS, USES, Tuning
from . import options
from .models import open_model
from .table import print_json, print_table

__all__ = ["command"]


@click.command("tune")
@options.model
@options.weights
@options.labels
@options.task
@options.precision
@click.option(
    "--device",
    "--devices",
    "devices",
    multiple=True,
    help="Try this device beside the usual one, whatever it computes, such as openvino:bf16; "
    "repeatable. By default all that are installed and compute the same.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=SECONDS,
    show_default=True,
    help="Time for the measurement; loading takes longer.",
)
@click.option("--forget", is_flag=True, help="Remove the answer, and measure nothing.")
@options.json_output
def command(
    model: str,
    weights: str | None,
    labels: str | None,
    task: str | None,
    precision: Precision,
    devices: tuple[str, ...],
    seconds: float,
    forget: bool,
    as_json: bool,
) -> None:
    """Measure what runs a MODEL the fastest on this machine, and use it from now on.

    Measured are devices and numbers of threads, for one photo at a time and for streams. The answer
    is kept in the cache; it applies wherever no device is requested.
    """
    if forget and as_json:
        msg = "--forget has no JSON"
        raise click.UsageError(msg)
    with open_model(model, weights, labels=labels, task=task) as network:
        name, used = type(network).__name__, network.weights
        if forget:
            was_there = tuned.forget(program_of(network, precision))
            click.echo(f"{name}/{used}, {precision}: {'forgotten' if was_there else 'no answer'}")
            return
        found = network.tune(precision=precision, devices=devices or None, seconds=seconds)
    if as_json:
        print_json({"model": name, "weights": used, "precision": precision, **found.to_dict()})
    else:
        click.secho(f"{name}/{used}, {precision}", bold=True)
        _print(found)


def _print(found: Tuning) -> None:
    rows = []
    for one in found.measured:
        marks = ["usual"] * (one.setting == found.usual[one.use])
        marks += ["fastest"] * (one.setting == found.best[one.use])
        times = [f"{1e3 * value:.2f}" for value in (one.median, one.low, one.high)]
        setting = one.setting
        rows.append([USES[one.use], setting.device, str(setting.threads), *times, ", ".join(marks)])
    print_table(["use", "device", "threads", "ms", "least", "greatest", ""], rows)
    for device, reason in found.left_out.items():
        click.echo(f"left out: {device}: {reason}")
    for use in found.best:
        click.echo(found.verdict(use))
