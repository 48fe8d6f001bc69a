"""`furiosa-models export`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from ..enums import RuntimeType
from ..export.opened import is_export
from . import options
from .messages import suggest_predict
from .models import open_model
from .table import print_json

__all__ = ["command"]

_SIZE = re.compile(r"(\d+)(?:[x,](\d+))?")


def _size(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> int | tuple[int, int] | None:
    if value is None:
        return None
    found = _SIZE.fullmatch(value.replace(" ", ""))
    if found is None:
        msg = f"expected 640, 480,640 or 480x640 (height, width), got {value!r}"
        raise click.BadParameter(msg)
    height, width = found.groups()
    return int(height) if width is None else (int(height), int(width))


@click.command("export")
@options.model
@click.option(
    "--runtime",
    type=click.Choice([each.value for each in RuntimeType], case_sensitive=False),
    help="What to export for; by default RUNTIME_TYPE of the environment, else onnx_cpu.",
)
@options.output_folder("Folder of the exported file.")
@click.option("--im-size", callback=_size, help="Another size of the input: 640, or 480,640.")
@click.option("--onnx-opset", type=int, help="Version of the ONNX operations.")
@click.option("--one-image", is_flag=True, help="Export for batches of one image only.")
@click.option(
    "--embed", is_flag=True, help="Write one graph from the photo to the results, for any runtime."
)
@click.option("--keep", is_flag=True, help="Keep a file that exists, if it is of this network.")
@options.weights
@options.labels
@options.task
@options.json_output
def command(
    model: str,
    runtime: str | None,
    output: Path,
    im_size: int | tuple[int, int] | None,
    onnx_opset: int | None,
    one_image: bool,
    embed: bool,
    keep: bool,
    weights: str | None,
    labels: str | None,
    task: str | None,
    as_json: bool,
) -> None:
    """Export a MODEL to a file for another runtime, with its labels and input inside."""
    with open_model(model, weights, labels=labels, task=task) as network:
        exported = network.export(
            runtime or os.environ.get("RUNTIME_TYPE") or RuntimeType.ONNX_CPU,
            onnx_opset,
            output,
            overwrite=not keep,
            image_size=im_size,
            dynamic_axes=not one_image,
            embed=embed,
        )
    path = exported.model_path
    height, width = exported.input.size
    if as_json:
        facts = {"model": type(network).__name__, "file": str(path), "bytes": path.stat().st_size}
        print_json({**facts, "runtime": exported.runtime_type.value, "input": [height, width]})
        return
    size = path.stat().st_size / 1e6
    click.echo(f"{path}: {size:.1f} MB, {height}x{width}, for {exported.runtime_type.value}")
    on_its_runtime = path.parent if is_export(path.parent) and not embed else path
    suggest_predict(on_its_runtime)
