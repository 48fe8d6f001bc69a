"""`furiosa-models list`."""

from __future__ import annotations

from typing import Any

import click

from ..catalog import Entry, entries, list_models
from ..enums import Platform
from . import options
from .table import print_json, print_table

__all__ = ["command"]


@click.command("list")
@click.argument("filter_type", metavar="[TASK]", required=False)
@click.option(
    "-t", "--task", help="List only models for a task: detect, classify, pose, segment, matte."
)
@click.option(
    "--license",
    metavar="NAME",
    help="List only models with weights under a license: its SPDX name, or permissive.",
)
@options.json_output
def command(filter_type: str | None, task: str | None, license: str | None, as_json: bool) -> None:
    """List the models, or those for a TASK: detect, classify, pose, segment, matte."""
    try:
        names = list_models(task=task or filter_type, license=license)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rows = [_describe(entry) for entry in entries() if entry.name in names]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["Model", "Task", "Description", "Available postprocesses", "Weights"],
        [
            [
                row["model"],
                row["task"],
                row["description"],
                ", ".join(name.title() for name in row["postprocessors"]),
                ", ".join(row["weights"]),
            ]
            for row in rows
        ],
    )


def _describe(entry: Entry) -> dict[str, Any]:
    return {
        "model": entry.name,
        "task": entry.task,
        "description": entry.summary,
        "postprocessors": [platform.name.lower() for platform in (Platform.PYTHON, Platform.RUST)],
        "weights": list(entry.weights),
    }
