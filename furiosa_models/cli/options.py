"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

__all__ = [
    "background",
    "device",
    "draft",
    "json_output",
    "labels",
    "model",
    "models",
    "output_folder",
    "postprocess",
    "precision",
    "task",
    "weights",
]


if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType


class _ModelName(_ParamType):
    """A model name, which the shell can complete, or a file."""

    name = "model"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del ctx, param
        from ..catalog import entries

        known = [
            CompletionItem(entry.name, help=entry.summary)
            for entry in entries()
            if entry.name.casefold().startswith(incomplete.casefold())
        ]
        return known or [CompletionItem(incomplete, type="file")]


model = click.argument("model", type=_ModelName())
models: Callable[[Callable[..., Any]], Callable[..., Any]] = click.argument(
    "models", nargs=-1, type=_ModelName()
)


def output_folder(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--output` of commands that write a model into a folder."""
    kind = click.Path(file_okay=False, path_type=Path)
    return click.option("-o", "--output", required=True, type=kind, help=help)


def _color(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    from ..images.color_conversion import parse_background

    try:
        parse_background(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


background = click.option(
    "--background",
    metavar="COLOR",
    callback=_color,
    help="Background of photos with an alpha channel, such as white or '#rrggbb'; "
    "by default alpha is dropped.",
)
device = click.option(
    "--device",
    "--devices",
    "device",
    help="cpu, openvino, cuda, tensorrt, coreml, or an NPU such as 'warboy(2)*1'; by default "
    "an NPU or a GPU, if any, else cpu.",
)
draft = click.option(
    "--draft",
    is_flag=True,
    help="Decode large JPEGs at reduced size: faster, with slightly different pixels.",
)
labels = click.option(
    "--labels",
    metavar="FILE",
    help="Names of the classes: a file (one per line, or JSON), or a table such as coco80.",
)
json_output = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
postprocess = click.option(
    "--postprocess",
    type=click.Choice(["rust", "python"], case_sensitive=False),
    default="rust",
    show_default=True,
    help="Implementation of pre- and postprocessing.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["fp32", "int8"]),
    default="fp32",
    show_default=True,
    help="Precision on CPUs; int8 is available for calibrated weights.",
)
task = click.option(
    "--task",
    help="Task of a model file: detect, classify, pose, segment, matte; by default detected.",
)
weights = click.option("--weights", help="A set of weights (see `desc`), or an ONNX file.")
