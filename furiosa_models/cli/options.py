"""Options that commands share."""

from __future__ import annotations

import click

__all__ = ["device", "draft", "json_output", "labels", "postprocess", "weights"]

device = click.option(
    "--device",
    "--devices",
    "device",
    help="cpu, openvino, or an NPU such as 'warboy(2)*1'; what is there by default.",
)
draft = click.option(
    "--draft",
    is_flag=True,
    help="Decode large JPEGs at a fraction of their size: faster, and pixels differ a little.",
)
labels = click.option(
    "--labels",
    metavar="FILE",
    help="Names of the classes: a file (one a line, or JSON), or a table such as coco80.",
)
json_output = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
postprocess = click.option(
    "--postprocess",
    type=click.Choice(["rust", "python"], case_sensitive=False),
    default="rust",
    show_default=True,
    help="What pre- and postprocessing run on.",
)
weights = click.option("--weights", help="A set of weights (see `desc`), or an ONNX file.")
