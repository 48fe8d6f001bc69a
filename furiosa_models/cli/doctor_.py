"""`furiosa-models doctor`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from ..runtime.doctor import Fact, diagnose
from . import options
from .table import print_json

__all__ = ["command"]

_MARKS = {True: "ok", False: "!!", None: "  "}


@click.command("doctor")
@click.option(
    "--offline",
    "model",
    metavar="MODEL",
    help="Prove that a model runs without a network: check its files, and predict a photo.",
)
@options.weights
@options.json_output
def command(model: str | None, weights: str | None, as_json: bool) -> None:
    """Report what models can run on, and the defaults in effect."""
    if model is None:
        _show(diagnose(), as_json=as_json)
        return
    from .models import open_model
    from .offline import check_offline

    facts = list(check_offline(open_model(model, weights)))
    _show(facts, as_json=as_json)
    sys.exit(0 if all(fact.is_fine is not False for fact in facts) else 1)


def _show(facts: Sequence[Fact], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(fact) for fact in facts])
        return
    width = max(len(fact.topic) for fact in facts)
    for fact in facts:
        click.echo(f"{_MARKS[fact.is_fine]} {fact.topic:<{width}}  {fact.finding}")
        if fact.advice:
            click.echo(f"   {'':<{width}}  -> {fact.advice}")
