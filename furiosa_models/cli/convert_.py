"""`furiosa-models convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..frameworks import wrap
from ..networks import edit, external_data
from ..output import new_file
from . import options
from .messages import suggest_predict
from .table import print_json

__all__ = ["command"]


@click.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="New ONNX file.",
)
@click.option("--input", "inputs", multiple=True, help="Name of an input; repeatable.")
@click.option("--output-name", "outputs", multiple=True, help="Name of an output; repeatable.")
@click.option("--network", help="Network for a file of weights, such as mobilenet_ssd.")
@click.option("--slim", metavar="NAME", help="Network of a slim checkpoint, such as resnet_v1_50.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="N,C,H,W",
    help="Shape of an input of TorchScript; repeatable.",
)
@options.json_output
def command(
    source: Path,
    output: Path,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    network: str | None,
    slim: str | None,
    shapes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Convert SOURCE, a model of any framework, to ONNX.

    SOURCE is a file or folder of TensorFlow (frozen pb, SavedModel, checkpoint), Keras (.keras,
    .h5), TensorFlow Lite, PyTorch (TorchScript, exported program), or weights of a network of this
    package (safetensors, .pth).
    """
    given: dict[str, Any] = {
        "input_names": list(inputs),
        "output_names": list(outputs),
        "network": network,
        "name": slim,
        "example_inputs": [_zeros(shape) for shape in shapes],
    }
    model = wrap(source, **{name: value for name, value in given.items() if value})
    proto = model.to_onnx()
    with new_file(output) as partial:
        external_data.save(proto, partial)
    tensors = dict(zip(("inputs", "outputs"), edit.signature(proto), strict=True))
    if as_json:
        print_json(
            {
                "source": str(source),
                "framework": model.framework,
                "form": model.form,
                "onnx": str(output),
                **{key: [info._asdict() for info in infos] for key, infos in tensors.items()},
            }
        )
        return
    click.echo(f"{source}: {model.form} of {model.framework}")
    for key, infos in tensors.items():
        for info in infos:
            click.echo(f"  {key[:-1]} {info.name}: {info.dtype} {list(info.shape)}")
    click.echo(f"  -> {output}")
    suggest_predict(output, "--task TASK", "--labels NAMES")


def _zeros(shape: str) -> Any:
    import numpy as np

    try:
        sizes = [int(size) for size in shape.split(",")]
    except ValueError:
        msg = f"--shape: expected numbers such as 1,3,224,224, got {shape!r}"
        raise click.UsageError(msg) from None
    return np.zeros(sizes, np.float32)
