"""The command `furiosa-models`, one file per subcommand."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import suppress

import click

from ..errors import FuriosaModelsError

__all__ = ["main"]

_INTERRUPTED = 130

COMMANDS = {
    "list": "List the models, or those for a TASK: detect, classify, pose.",
    "desc": (
        "Describe a MODEL: what it is, what it takes, and its sets of weights. Fetches nothing."
    ),
    "predict": "Run a MODEL on IMAGES: files, videos, folders, globs or URLs.",
    "fetch": "Fetch the weights of MODELS into the cache, for work without a network.",
    "verify": (
        "Measure the accuracy of a MODEL on labeled photos: fp32 and int8, beside known figures."
    ),
    "bench": (
        "Measure a MODEL on IMAGES (files, folders, globs): latency by stage, throughput, memory."
    ),
    "quantize": "Quantize a MODEL to int8 on photos of yours, and save it.",
    "serve": "Serve a MODEL over HTTP: POST a photo as `image` to /infer.",
    "cache": "Look after the cache of artifacts.",
    "doctor": "Say what is there to run models on, and what would run where.",
}
"""Every subcommand, and the first paragraph of its help: a list needs no imports of all of them."""

TEXT = "A vision model zoo: trained networks, on a FuriosaAI NPU or a plain CPU."

EXAMPLES = """
\b
Examples:
  furiosa-models list detect                        models that find objects
  furiosa-models desc SSDMobileNet                  what a model is, and its weights
  furiosa-models predict ssd-mobilenet *.jpg --output out/
  furiosa-models fetch --all                        weights for work without a network
  furiosa-models verify ssd-mobilenet --images val2017/ --labels instances_val2017.json
  furiosa-models predict best.onnx street.jpg --labels names.txt
  eval "$(_FURIOSA_MODELS_COMPLETE=bash_source furiosa-models)"   complete names (or zsh, fish)
"""


class _LazyGroup(click.Group):
    """Imports a subcommand's file when that subcommand is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        stubs = [click.Command(name, help=text) for name, text in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl([(str(c.name), c.get_short_help_str(limit)) for c in stubs])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f".{name}_", __name__).command
        if not isinstance(command, click.Command):
            return None
        command.help = command.help or COMMANDS[name]  # python -OO drops docstrings
        return command


def _print_version(ctx: click.Context, _: click.Parameter, requested: bool) -> None:
    if requested and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"furiosa-models {version('furiosa-model-zoo')}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    help=TEXT,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option(
    "--import",
    "modules",
    metavar="MODULE",
    multiple=True,
    help="Import a module first, one that registers models or backends of yours; repeatable.",
)
def cli(modules: tuple[str, ...]) -> None:
    from ..settings import shows_tracebacks

    if modules:
        sys.path.insert(0, "")  # as `python -m` does: modules beside the user
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # the user's code may raise anything
            if shows_tracebacks():
                raise
            msg = f"module {module!r} cannot be imported: {type(error).__name__}: {error}"
            raise click.UsageError(msg) from error


def main() -> None:
    """Run the command line.

    Exits with 0, 1 (something failed), 2 (wrong usage) or 130 (interrupted). What is expected to
    fail is one line; `FURIOSA_MODELS_TRACEBACK=1` shows the whole.
    """
    from ..settings import shows_tracebacks

    warnings.showwarning = lambda message, *_args, **_kw: click.echo(f"Note: {message}", err=True)
    try:
        sys.exit(cli.main(prog_name="furiosa-models", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # Who read the output has gone; nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (FuriosaModelsError, OSError, TypeError, ValueError) as error:
        if shows_tracebacks() or not _is_expected(error):
            raise
        _print_error(error)
        sys.exit(1)


def _is_expected(error: Exception) -> bool:
    """Whether an error is one that users make; a plain TypeError is a mistake of ours."""
    return isinstance(error, FuriosaModelsError) or not isinstance(error, TypeError)


def _print_error(error: Exception) -> None:
    """Print an error; inside the document, too, where JSON is asked for."""
    from .table import print_json, short

    click.echo(f"Error: {short(error)}", err=True)
    if "--json" in sys.argv[1:]:
        with suppress(OSError):  # on a full disk, which the error may be about
            print_json({"error": {"type": type(error).__name__, "message": str(error)}})
