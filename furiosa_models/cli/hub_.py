"""`furiosa-models hub`."""

from __future__ import annotations

import click

from ..hub import FocoosHUB
from . import options
from .table import print_json, print_table

__all__ = ["command"]


@click.group("hub")
def command() -> None:
    """Show what is on the hub of Focoos."""


@command.command("models")
@options.json_output
def show_models(as_json: bool) -> None:
    """List your models."""
    found = FocoosHUB().list_remote_models()
    if as_json:
        print_json([each.to_dict() for each in found])
        return
    rows = [[m.ref, m.name, m.task, m.status or "", m.description or ""] for m in found]
    print_table(["ref", "name", "task", "status", "description"], rows)


@command.command("datasets")
@click.option("--shared", is_flag=True, help="Also those that others share.")
@options.json_output
def show_datasets(shared: bool, as_json: bool) -> None:
    """List your data sets."""
    found = FocoosHUB().list_remote_datasets(include_shared=shared)
    if as_json:
        print_json([each.to_dict() for each in found])
        return
    rows = [
        [d.ref, d.name, d.task, d.layout, "" if d.spec is None else f"{d.spec.size_mb:g} MB"]
        for d in found
    ]
    print_table(["ref", "name", "task", "layout", "size"], rows)


@command.command("info")
@click.argument("ref")
@options.json_output
def show_info(ref: str, as_json: bool) -> None:
    """Describe a model, REF."""
    found = FocoosHUB().get_model_info(ref.removeprefix("hub://"))
    if as_json:
        print_json(found.to_dict())
        return
    facts = {
        "name": found.name,
        "status": found.status,
        "task": found.task,
        "family": found.model_family,
        "trained from": found.focoos_model,
        "input": found.im_size,
        "classes": None if found.classes is None else len(found.classes),
        "metrics": (found.metrics or {}).get("best_valid_metric"),
        "updated": found.updated_at,
        "description": found.description,
    }
    print_table([found.ref, ""], [[name, str(v)] for name, v in facts.items() if v is not None])
