"""`furiosa-models push`."""

from __future__ import annotations

from pathlib import Path

import click

from ..hub import push
from . import options
from .table import print_json

__all__ = ["command"]


@click.command("push")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("ref")
@click.option(
    "--private/--public", default=None, help="Who may read the model; for hf:// references only."
)
@click.option("--message", help="What is new; for hf:// references only.")
@options.json_output
def command(
    folder: Path, ref: str, private: bool | None, message: str | None, as_json: bool
) -> None:
    """Push FOLDER, a saved model, to a hub.

    REF is hub://NAME for the hub of Focoos, hf://OWNER/NAME for Hugging Face, or
    PLACE/NAME[@VERSION] for a hub of your own, whose PLACE is a folder, s3:// or gs://.
    """
    pushed = push(folder, ref, private=private, message=message)
    if as_json:
        print_json({"ref": pushed.ref, "version": pushed.version})
        return
    click.echo(f"{folder} -> {pushed.ref}")
