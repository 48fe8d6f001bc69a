"""`furiosa-models cache`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..artifacts import Store, maintenance
from ..catalog import get_model
from ..runtime import compiled
from . import options
from .table import print_json, print_table

__all__ = ["command"]


@click.group("cache")
def command() -> None:
    """Look after the cache of artifacts."""


@command.command("dir")
def show_folder() -> None:
    """Print the folder."""
    click.echo(Store().root)


@command.command("ls")
@options.json_output
def show_files(as_json: bool) -> None:
    """List the files."""
    found = maintenance.entries(Store())
    if as_json:
        fields = ("name", "algorithm", "digest", "size")
        print_json([{field: getattr(entry, field) for field in fields} for entry in found])
        return
    rows = [[e.name or "(built)", f"{e.size / 1e6:.1f} MB", e.digest[:16]] for e in found]
    print_table(["file", "size", "hash"], rows)
    click.echo(f"{sum(e.size for e in found) / 1e6:.1f} MB in {len(found)} files")
    programs = compiled.entries()
    size = sum(entry.size for entry in programs) / 1e6
    click.echo(f"{size:.1f} MB in {len(programs)} programs compiled for this kind of machine")


@command.command("verify")
@click.option("--remove", is_flag=True, help="Remove what is damaged, to be fetched anew.")
def verify(remove: bool) -> None:
    """Hash every file again; exits with 1 if one is damaged."""
    damaged = maintenance.verify(Store(), remove_damaged=remove)
    for entry in damaged:
        click.echo(f"damaged: {entry.path} {entry.name}", err=True)
    if damaged:
        click.echo("removed" if remove else "`cache verify --remove` removes them", err=True)
        sys.exit(1)
    click.echo("every file is sound")


@command.command("rm")
@click.argument("models", nargs=-1, required=True)
@click.option("--weights", help="Only this set of weights.")
def remove(models: tuple[str, ...], weights: str | None) -> None:
    """Remove the files of MODELS."""
    sets = [a for name in models for a in get_model(name).catalogue().values()]
    chosen = [artifact for artifact in sets if weights in (None, artifact.weights)]
    click.echo(f"{maintenance.remove(Store(), chosen) / 1e6:.1f} MB freed")


@command.command("prune")
@click.option("--built", is_flag=True, help="And all that was built or compiled from them.")
def prune(built: bool) -> None:
    """Remove leftovers of interrupted work, and old programs. Not while others fetch."""
    freed = maintenance.prune(Store(), built=built)
    stale = [entry for entry in compiled.entries() if built or not entry.is_current]
    freed += compiled.remove(stale)
    click.echo(f"{freed / 1e6:.1f} MB freed")


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_to(file: Path) -> None:
    """Write the cache into FILE (tar), for a machine without a network."""
    click.echo(f"{maintenance.export_to(Store(), file)} files written to {file}")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_from(file: Path) -> None:
    """Take the files of an exported FILE, each verified first."""
    click.echo(f"{maintenance.import_from(Store(), file)} files taken from {file}")
