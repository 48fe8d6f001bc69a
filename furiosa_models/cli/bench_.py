"""`furiosa-models bench`."""

from __future__ import annotations

from pathlib import Path

import click

from ..benchmark import SECTIONS, STAGES, Benchmark, benchmark
from ..enums import Precision
from . import options, records
from .api import decorate_result
from .models import open_model
from .table import print_json, print_table

__all__ = ["command"]


@click.command("bench")
@options.model
@click.argument("images", nargs=-1, required=True)
@options.weights
@options.labels
@options.task
@options.precision
@options.device
@options.postprocess
@click.option(
    "--repeat", type=click.IntRange(min=1), default=1, help="Number of runs of each photo."
)
@records.record
@options.json_output
def command(
    model: str,
    images: tuple[str, ...],
    weights: str | None,
    labels: str | None,
    task: str | None,
    precision: Precision,
    device: str | None,
    postprocess: str,
    repeat: int,
    record: Path | None,
    as_json: bool,
) -> None:
    """Measure a MODEL on IMAGES (files, folders, globs): latency by stage, throughput, memory.

    The figures depend on the photos, on their sizes and on the load of the machine.
    """
    with open_model(model, weights, labels=labels, task=task, postprocess=postprocess) as network:
        measured = benchmark(network, images, device=device, repeat=repeat, precision=precision)
    if record is not None:
        records.append_record(record, **measured.record(), precision=precision)
    if as_json:
        print_json({**measured.to_dict(), "precision": precision})
    else:
        _print(measured)


def _print(measured: Benchmark) -> None:
    photos = len(measured.seconds)
    name = f"{measured.model}/{measured.weights}"
    click.secho(f"{name} on {measured.backend}: {photos} input samples", bold=True)
    rows = [(stage, measured.latency(stage)) for stage in (*STAGES, "total")]
    columns = list(rows[0][1])
    print_table(
        ["ms", *columns], [[stage, *(f"{row[c]:.3f}" for c in columns)] for stage, row in rows]
    )
    click.echo(f"Loaded in {1e3 * measured.load:.0f} ms, first photo {1e3 * measured.first:.0f} ms")
    click.echo(f"Streamed: {photos / measured.streamed:.1f} photos/s")
    if measured.peak_memory is not None:
        click.echo(f"Peak memory: {measured.peak_memory / 1e6:.0f} MB")
    for title in SECTIONS:
        total = measured.section(title)["total_s"]
        click.echo(decorate_result(total, photos, title, newline=False))
