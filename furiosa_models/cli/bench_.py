"""`furiosa-models bench`."""

from __future__ import annotations

import click

from ..benchmark import SECTIONS, STAGES, Benchmark, benchmark
from ..catalog import get_model
from .table import print_json, print_table

__all__ = ["command"]

_BAR = "-" * 70


@click.command("bench")
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--weights", help="A set of weights (see `desc`), or an ONNX file.")
@click.option(
    "--devices",
    "--device",
    "device",
    help="cpu, openvino, or an NPU such as 'warboy(2)*1'; what is there by default.",
)
@click.option(
    "--postprocess",
    type=click.Choice(["rust", "python"], case_sensitive=False),
    default="rust",
    show_default=True,
)
@click.option("--repeat", type=click.IntRange(min=1), default=1, help="Run each photo so often.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    images: tuple[str, ...],
    weights: str | None,
    device: str | None,
    postprocess: str,
    repeat: int,
    as_json: bool,
) -> None:
    """Measure a MODEL on IMAGES (files, folders, globs): latency by stage, throughput, memory.

    The figures depend on the photos, their sizes and what else the machine does.
    """
    with get_model(model, weights=weights, postprocessor_type=postprocess) as network:
        measured = benchmark(network, images, device=device, repeat=repeat)
    if as_json:
        print_json(measured.to_dict())
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
    click.echo(f"Streamed: {photos / measured.streamed:.1f} photos/s")
    if measured.peak_memory is not None:
        click.echo(f"Peak memory: {measured.peak_memory / 1e6:.0f} MB")
    for title in SECTIONS:
        figures = measured.section(title)
        click.echo(f"{_BAR}\n{title}\n{_BAR}")
        click.echo(f"Total elapsed time: {_time(figures['total_s'])}")
        click.echo(f"QPS: {figures['qps']:.5f}")
        click.echo(f"Avg. elapsed time / sample: {_time(figures['average_s'])}")


def _time(seconds: float) -> str:
    """A time in the largest unit that gives at least one of it, as 0.10 prints it."""
    for unit in ("sec", "ms", "us"):
        if seconds >= 1:
            return f"{seconds:.5f} {unit}"
        seconds *= 1e3
    return f"{seconds:.5f} ns"
