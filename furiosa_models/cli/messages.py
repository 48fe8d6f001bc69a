"""Notes and suggestions beside the results of a command; `--quiet` leaves them out.

Warnings and errors are never left out.
"""

from __future__ import annotations

import os
import shlex

import click

__all__ = ["add_quiet", "note", "suggest_predict"]

_QUIET = f"{__name__}.quiet"
_PROGRESS = "FURIOSA_MODELS_PROGRESS"


def add_quiet(command: click.Command) -> None:
    """Add the option `--quiet` to a command and to its subcommands."""
    if any(parameter.name == "quiet" for parameter in command.params):
        return
    command.params.append(
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_be_quiet,
            help="Print only results and errors: no progress bars, notes or suggestions.",
        )
    )
    if isinstance(command, click.Group):
        for each in command.commands.values():
            add_quiet(each)


def note(text: str) -> None:
    """Print a note to standard error, unless the command is quiet."""
    if not _is_quiet():
        click.echo(f"Note: {text}", err=True)


def suggest_predict(path: str | os.PathLike[str], *options: str) -> None:
    """Print the command that runs a model on photos, unless the command is quiet.

    Args:
        path: File or folder of the model.
        options: Further words of the command.
    """
    if not _is_quiet():
        words = ["furiosa-models predict", shlex.quote(os.fspath(path)), "PHOTO", *options]
        click.echo(f"Run it: {' '.join(words)}")


def _is_quiet() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def _be_quiet(ctx: click.Context, _: click.Parameter, quiet: bool) -> None:
    """Hide notes until the command ends, and progress bars also in processes that it starts."""
    if not quiet:
        return
    ctx.meta[_QUIET] = True
    before = os.environ.get(_PROGRESS)
    os.environ[_PROGRESS] = "0"
    ctx.call_on_close(lambda: _restore(before))


def _restore(progress: str | None) -> None:
    if progress is None:
        os.environ.pop(_PROGRESS, None)
    else:
        os.environ[_PROGRESS] = progress
