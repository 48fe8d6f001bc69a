"""`furiosa-models pull`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ..hub import pull
from ..output import check_new_folder, new_folder
from . import options
from .messages import suggest_predict
from .table import print_json

__all__ = ["command"]


@click.command("pull")
@click.argument("ref")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="New folder for a copy of the model; by default it is only in the cache.",
)
@click.option("--no-cache", is_flag=True, help="Download files that are in the cache, too.")
@options.json_output
def command(ref: str, output: Path | None, no_cache: bool, as_json: bool) -> None:
    """Pull a model, REF, from a hub into the cache.

    REF is hub://REF for the hub of Focoos, hf://OWNER/NAME[@REVISION] for Hugging Face, or
    PLACE/NAME[@VERSION] for a hub of your own, whose PLACE is a folder, s3:// or gs://.
    """
    if output is not None:
        check_new_folder(output)  # before the download
    folder = pull(ref, cache=not no_cache)
    if output is not None:
        with new_folder(output) as partial:
            shutil.copytree(folder, partial, dirs_exist_ok=True, copy_function=shutil.copyfile)
        folder = output
    if as_json:
        print_json({"ref": ref, "folder": str(folder)})
        return
    click.echo(f"{ref} -> {folder}")
    suggest_predict(folder)
