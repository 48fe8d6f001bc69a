"""`furiosa-models explain`."""

from __future__ import annotations

import difflib
import inspect

import click

from .. import errors
from ..runtime import errors as runtime_errors

__all__ = ["command"]


@click.command("explain")
@click.argument("error", required=False)
def command(error: str | None) -> None:
    """Explain an ERROR: when it happens, and what to check. Without one, list all."""
    known = _errors()
    if error is None:
        width = max(map(len, known))
        for name, kind in known.items():
            click.echo(f"{name:<{width}}  {_text(kind).splitlines()[0]}")
        return
    found = [name for name in known if name.casefold() == error.casefold()]
    if not found:
        close = difflib.get_close_matches(error, known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"
        msg = f"there is no error {error!r}; {hint}"
        raise click.UsageError(msg)
    click.secho(found[0], bold=True)
    click.echo(_text(known[found[0]]))


def _errors() -> dict[str, type]:
    """Return the exceptions and warnings of this package by name."""
    modules = (errors, runtime_errors)
    names = sorted({name for module in modules for name in module.__all__})
    found = {name: getattr(errors, name, getattr(runtime_errors, name, None)) for name in names}
    kinds = (errors.FuriosaModelsError, Warning)
    return {n: k for n, k in found.items() if isinstance(k, type) and issubclass(k, kinds)}


def _text(kind: type) -> str:
    return inspect.getdoc(kind) or ""
