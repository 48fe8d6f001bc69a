"""`furiosa-models desc`."""

from __future__ import annotations

from typing import Any

import click

from ..artifacts import Artifact, Store
from . import options
from .models import open_model
from .table import print_json, print_table

__all__ = ["command"]


@click.command("desc")
@options.model
@options.labels
@options.task
@options.json_output
def command(model: str, labels: str | None, task: str | None, as_json: bool) -> None:
    """Describe a MODEL: its task, its input, and its sets of weights. Fetches nothing."""
    found = open_model(model, labels=labels, task=task)
    store = Store()
    height, width = found.input.size
    facts: dict[str, Any] = {
        **found.model_dump(mode="json", exclude_none=True),
        "input": {
            "height": height,
            "width": width,
            "resize": found.input.resize,
            "mean": list(found.input.mean),
            "std": list(found.input.std),
            "color": found.input.color,
        },
        "classes": len(found.labels),
        "postprocessors": [platform.name.lower() for platform in found.postprocessor_map],
    }
    weights = [_describe(artifact, store) for artifact in found.catalog().values()]
    if as_json:
        print_json({"model": type(found).__name__, **facts, "weights": weights})
        return
    facts["input"] = f"{height}x{width}, {found.input.resize}"
    facts["postprocessors"] = ", ".join(facts["postprocessors"])
    click.secho(type(found).__name__, bold=True)
    for name, value in _flat(facts):
        click.echo(f"  {name:<16} {value}")
    if weights:
        click.echo()
        columns = ["weights", "labels", "accuracy", "size", "license", "cached"]
        print_table(columns, [_row(each) for each in weights])
        for name, terms in {each["license"]: each["terms"] for each in weights}.items():
            click.echo(f"\n{name}: {terms}")


def _describe(artifact: Artifact, store: Store) -> dict[str, Any]:
    return {
        "weights": artifact.weights,
        "labels": artifact.labels,
        "accuracy": [figure._asdict() for figure in artifact.accuracy],
        "size": artifact.size,
        "license": artifact.license.origin,
        "terms": artifact.license.terms,
        "cached": all(store.has(file) for file in artifact.files),
    }


def _row(described: dict[str, Any]) -> list[str]:
    """Format a set of weights as a row of the table."""
    figures = [f"{a['metric']} {a['value']:.3f} ({a['dataset']})" for a in described["accuracy"]]
    return [
        described["weights"],
        described["labels"],
        "; ".join(figures) or "not measured",
        f"{described['size'] / 1e6:.1f} MB",
        described["license"],
        "yes" if described["cached"] else "no",
    ]


def _flat(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in facts.items():
        rows += _flat(value) if isinstance(value, dict) else [(name.replace("_", " "), value)]
    return rows
