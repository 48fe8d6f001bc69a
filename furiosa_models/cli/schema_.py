"""`furiosa-models schema`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from .table import print_json

__all__ = ["command"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _complete(_ctx: click.Context, _param: click.Parameter, start: str) -> list[CompletionItem]:
    from .documents import DOCUMENTS

    return [CompletionItem(name) for name in DOCUMENTS if name.startswith(start)]


@click.command("schema")
@click.argument("command_name", metavar="COMMAND...", nargs=-1, shell_complete=_complete)
def command(command_name: tuple[str, ...]) -> None:
    """Print the JSON schema of what a COMMAND prints with `--json`.

    It covers the document of an error, too. Without a COMMAND, print the schemas of all commands by
    name.
    """
    from pydantic import TypeAdapter

    from .documents import DOCUMENTS, Failed

    name = " ".join(command_name)
    if name and name not in DOCUMENTS:
        msg = f"{name!r} prints no JSON; expected one of: {', '.join(DOCUMENTS)}"
        raise click.UsageError(msg)
    schemas = {
        key: {"$schema": _DIALECT, **TypeAdapter(document | Failed).json_schema()}
        for key, document in DOCUMENTS.items()
        if name in ("", key)
    }
    print_json(schemas[name] if name else schemas)
