"""`furiosa-models doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..runtime.doctor import diagnose
from . import options
from .table import print_json

__all__ = ["command"]

_MARKS = {True: "ok", False: "!!", None: "  "}


@click.command("doctor")
@options.json_output
def command(as_json: bool) -> None:
    """Report what models can run on, and the defaults in effect."""
    facts = diagnose()
    if as_json:
        print_json([asdict(fact) for fact in facts])
        return
    width = max(len(fact.topic) for fact in facts)
    for fact in facts:
        click.echo(f"{_MARKS[fact.is_fine]} {fact.topic:<{width}}  {fact.finding}")
        if fact.advice:
            click.echo(f"   {'':<{width}}  -> {fact.advice}")
