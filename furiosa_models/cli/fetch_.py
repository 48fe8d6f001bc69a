"""`furiosa-models fetch`."""

from __future__ import annotations

import sys

import click

from ..catalog import get_model, list_models
from ..errors import ArtifactError
from ..settings import shows_tracebacks
from . import options
from .table import short

__all__ = ["command"]


@click.command("fetch")
@options.models
@click.option("--all", "everything", is_flag=True, help="Fetch all models of the zoo.")
@click.option("--weights", help="Name of a set of weights to fetch instead of the default.")
def command(models: tuple[str, ...], everything: bool, weights: str | None) -> None:
    """Fetch the weights of MODELS into the cache, for use without a network."""
    if bool(models) == everything:
        msg = "expected either names of models or --all"
        raise click.UsageError(msg)
    failed = False
    for name in models or list_models():
        model = get_model(name, weights=weights)
        try:
            model.resolve_all()
        except ArtifactError as error:
            text = str(error) if shows_tracebacks() else short(error)
            click.echo(f"{type(model).__name__}: {text}", err=True)
            failed = True
        else:
            click.echo(f"{type(model).__name__}: {model.weights}")
    sys.exit(1 if failed else 0)
