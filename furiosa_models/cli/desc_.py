"""`furiosa-models desc`."""

from __future__ import annotations

from typing import Any

import click

from ..artifacts import Artifact, Store
from ..catalog import get_model
from . import options
from .table import print_json, print_table

__all__ = ["command"]


@click.command("desc")
@click.argument("model")
@options.json_output
def command(model: str, as_json: bool) -> None:
    """Describe a MODEL: what it is, what it takes, and its sets of weights. Fetches nothing."""
    found = get_model(model)
    store = Store()
    facts: dict[str, Any] = {
        **found.model_dump(mode="json", exclude_none=True),
        "input": f"{found.input.size[0]}x{found.input.size[1]}, {found.input.resize}",
        "postprocessors": ", ".join(platform.name.lower() for platform in found.platforms),
    }
    weights = [_describe(artifact, store) for artifact in found.catalogue().values()]
    if as_json:
        print_json({"model": type(found).__name__, **facts, "weights": weights})
        return
    click.secho(type(found).__name__, bold=True)
    for name, value in _flat(facts):
        click.echo(f"  {name:<16} {value}")
    click.echo()
    columns = ["weights", "accuracy", "size", "license", "cached"]
    print_table(columns, [[str(row[c]) for c in columns] for row in weights])


def _describe(artifact: Artifact, store: Store) -> dict[str, Any]:
    figures = [f"{a.metric} {a.value:.3f} ({a.dataset})" for a in artifact.accuracy]
    return {
        "weights": artifact.weights,
        "accuracy": "; ".join(figures) or "not measured",
        "size": f"{artifact.size / 1e6:.1f} MB",
        "license": artifact.license.origin,
        "cached": "yes" if all(store.has(file) for file in artifact.files) else "no",
    }


def _flat(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in facts.items():
        rows += _flat(value) if isinstance(value, dict) else [(name.replace("_", " "), value)]
    return rows
