"""`furiosa-models cache`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..artifacts import Store, maintenance
from ..catalog import get_model, list_models, model_class
from ..model import Model
from ..runtime import compiled, tuned
from . import options
from .table import print_json, print_table

__all__ = ["command"]


@click.group("cache")
def command() -> None:
    """Manage the cache of artifacts."""


@command.command("dir")
def show_folder() -> None:
    """Print the path of the cache folder."""
    click.echo(Store().root)


@command.command("ls")
@options.json_output
def show_files(as_json: bool) -> None:
    """List the downloaded, built and compiled files by model."""
    built = _built()
    files = [(e.name or built.get(e.digest, ""), e) for e in maintenance.entries(Store())]
    files.sort(key=lambda file: (not file[0], file[0]))
    programs = [(built.get(entry.model, ""), entry) for entry in compiled.entries()]
    if as_json:
        fields = ("algorithm", "digest", "size")
        rows = [{"name": name, **{f: getattr(e, f) for f in fields}} for name, e in files]
        kept = [{"of": name, "made_by": e.made_by, "size": e.size} for name, e in programs]
        print_json({"files": rows, "compiled": kept})
        return
    rows_of_files = [[n or "(built)", _megabytes(e.size), e.digest[:16]] for n, e in files]
    print_table(["file", "size", "hash"], rows_of_files)
    click.echo(f"{_megabytes(sum(e.size for _, e in files))} in {len(files)} files")
    if programs:
        click.echo()
        rows_of_programs = [[n or e.model[:16], _megabytes(e.size), e.made_by] for n, e in programs]
        print_table(["compiled", "size", "by"], rows_of_programs)
    size = _megabytes(sum(entry.size for _, entry in programs))
    click.echo(f"{size} in {len(programs)} programs compiled for this kind of machine")


def _built() -> dict[str, str]:
    """Return descriptions of the files that were built for the models of the catalog, by digest."""
    return {
        digest: f"{one.name}/{one.weights} ({what})"
        for one in _sets()
        for digest, what in one.built().items()
    }


def _sets() -> Iterator[Model[Any]]:
    """Yield every model of the catalog with each set of weights, and with random ones."""
    for name in list_models():
        for weights in [*model_class(name).available_weights(), "random"]:
            yield get_model(name, weights)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@command.command("verify")
@click.option(
    "--remove", is_flag=True, help="Remove damaged files, so that they are fetched again."
)
def verify(remove: bool) -> None:
    """Check the digests of all files and compiled programs; exit with 1 if one is damaged.

    If the downloaded files are intact, build the models again and compare their digests, too.
    """
    files = maintenance.verify(Store(), remove_damaged=remove)
    programs = compiled.damaged()
    if remove:
        compiled.remove(programs)
    wrong = [] if files else [f"{m.name}/{m.weights} {n}" for m in _sets() for n in m.check_built()]
    for file in files:
        click.echo(f"damaged: {file.path} {file.name}", err=True)
    for program in programs:
        click.echo(f"damaged: {program.path} compiled by {program.made_by or '?'}", err=True)
    for name in wrong:
        click.echo(f"corrected: the digest of {name}", err=True)
    if files or programs:
        click.echo("removed" if remove else "`cache verify --remove` removes them", err=True)
    if files or programs or wrong:
        sys.exit(1)
    click.echo("all files are intact")


@command.command("rm")
@options.models
@click.option("--weights", help="Only this set of weights.")
def remove(models: tuple[str, ...], weights: str | None) -> None:
    """Remove the files of MODELS."""
    if not models:
        msg = "expected the names of the models whose files to remove"
        raise click.UsageError(msg)
    sets = [a for name in models for a in get_model(name).catalog().values()]
    chosen = [artifact for artifact in sets if weights in (None, artifact.weights)]
    click.echo(f"{maintenance.remove(Store(), chosen) / 1e6:.1f} MB freed")


@command.command("prune")
@click.option(
    "--built", is_flag=True, help="Also remove everything that was built, compiled or tuned."
)
def prune(built: bool) -> None:
    """Remove leftovers of interrupted work, and old programs. Do not run it during a fetch."""
    freed = maintenance.prune(Store(), built=built)
    stale = [entry for entry in compiled.entries() if built or not entry.is_current]
    freed += compiled.remove(stale) + compiled.remove_leftovers()
    freed += tuned.remove(entry for entry in tuned.entries() if built or not entry.is_current)
    click.echo(f"{freed / 1e6:.1f} MB freed")


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_to(file: Path) -> None:
    """Export the cache to FILE (tar), for a machine without a network."""
    click.echo(f"{maintenance.export_to(Store(), file)} files written to {file}")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_from(file: Path) -> None:
    """Import the files of an exported FILE after verifying each of them."""
    click.echo(f"{maintenance.import_from(Store(), file)} files imported from {file}")
