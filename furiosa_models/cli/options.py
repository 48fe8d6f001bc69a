"""Arguments and options that commands share."""

from __future__ import annotations

from collections.abc import Callable
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
    """Name of a model, which a shell completes, or a file."""

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
    help="Color under photos with an alpha channel: white, '#rrggbb'; alpha is dropped by default.",
)
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
precision = click.option(
    "--precision",
    type=click.Choice(["fp32", "int8"]),
    default="fp32",
    show_default=True,
    help="Program for a CPU; int8 is there for weights that were calibrated.",
)
task = click.option(
    "--task", help="What a file of yours does: detect, classify, pose; found out by default."
)
weights = click.option("--weights", help="A set of weights (see `desc`), or an ONNX file.")
