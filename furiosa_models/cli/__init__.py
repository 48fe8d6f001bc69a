"""The command line interface `furiosa-models`, with one module for each subcommand."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import warnings
from contextlib import suppress

import click

from ..errors import FuriosaModelsError
from .messages import add_quiet

__all__ = ["main", "print_error"]

_INTERRUPTED = 130

EXIT_CODES = {
    0: "success",
    1: "failure: of the whole command, or of a photo, model or check that the messages name",
    2: "wrong usage: an argument or option is unknown, missing or wrong",
    _INTERRUPTED: "interrupted with Ctrl-C",
}
"""Exit codes of the command, and their meanings."""

COMMANDS = {
    "list": "List the models, or those for a TASK: detect, classify, pose, segment, matte.",
    "desc": ("Describe a MODEL: its task, its input, and its sets of weights. Fetches nothing."),
    "predict": "Run a MODEL on IMAGES: files, videos, folders, globs, URLs, cameras or streams.",
    "fetch": "Fetch the weights of MODELS into the cache, for use without a network.",
    "verify": (
        "Measure the fp32 and int8 accuracy of a MODEL on labeled photos; show known figures, too."
    ),
    "check-data": "Check labeled photos: DATA is the folder of a data set, or a file of labels.",
    "bench": (
        "Measure a MODEL on IMAGES (files, folders, globs): latency by stage, throughput, memory."
    ),
    "tune": "Measure what runs a MODEL the fastest on this machine, and use it from now on.",
    "quantize": "Quantize a MODEL to int8, calibrated on your photos, and save it.",
    "export": "Export a MODEL to a file for another runtime, with its labels and input inside.",
    "info": (
        "Tell what PATH is: its framework, inputs, outputs, and the head and labels recognized."
    ),
    "convert": "Convert SOURCE, a model of any framework, to ONNX.",
    "fit-head": (
        "Fit the last layer of a classifier, MODEL, to the photos in DATA, without PyTorch."
    ),
    "train": "Train a MODEL on labeled photos; needs PyTorch (the extra `train`).",
    "push": "Push FOLDER, a saved model, to a hub.",
    "pull": "Pull a model, REF, from a hub into the cache.",
    "hub": "Show what is on the hub of Focoos.",
    "serve": "Serve MODELS over HTTP: a page for photos, /infer as in 0.10, and the v2 protocol.",
    "cache": "Manage the cache of artifacts.",
    "explain": "Explain an ERROR: when it happens, and what to check. Without one, list all.",
    "schema": "Print the JSON schema of what a COMMAND prints with `--json`.",
    "doctor": "Report what models can run on, and the defaults in effect.",
}
"""Subcommands and the first paragraphs of their help; listing them thus needs no imports."""

TEXT = "A vision model zoo: trained networks, on a FuriosaAI NPU or a plain CPU."

EXAMPLES = """
\b
Examples:
  furiosa-models list detect                        models that detect objects
  furiosa-models desc SSDMobileNetV2                facts of a model, and its weights
  furiosa-models predict ssd-mobilenet-v2 *.jpg --output out/
  furiosa-models fetch --all                        weights for use without a network
  furiosa-models verify ssd-mobilenet-v2 --images val2017/ --labels instances_val2017.json
  furiosa-models check-data shelves/ --model ssd-mobilenet-v2
  furiosa-models predict best.onnx street.jpg --labels names.txt
  furiosa-models explain WeightsError               the error in the brackets of a message
  eval "$(_FURIOSA_MODELS_COMPLETE=bash_source furiosa-models)"   complete names (or zsh, fish)

\b
Exit codes:
""" + "".join(f"  {code:<4} {meaning}\n" for code, meaning in EXIT_CODES.items())


class _LazyGroup(click.Group):
    """A group that imports the module of a subcommand when it is used."""

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
        command = importlib.import_module(f".{name.replace('-', '_')}_", __name__).command
        if not isinstance(command, click.Command):
            return None
        command.help = command.help or COMMANDS[name]  # python -OO drops docstrings
        add_quiet(command)
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
    help="Import a module that registers your models or backends; repeatable.",
)
def cli(modules: tuple[str, ...]) -> None:
    from ..settings import shows_tracebacks

    if modules:
        sys.path.insert(0, "")  # like `python -m`: include the working directory
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # the user's code may raise anything
            if shows_tracebacks():
                raise
            msg = f"module {module!r} cannot be imported: {type(error).__name__}: {error}"
            raise click.UsageError(msg) from error


def main() -> None:
    """Run the command line interface.

    Exit with a code of `EXIT_CODES`. Expected errors are printed as one line;
    `FURIOSA_MODELS_TRACEBACK=1` shows their tracebacks. The signal to terminate ends the process as
    usual, once temporary files are removed.
    """
    from ..settings import shows_tracebacks

    warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
    try:
        with suppress(ValueError):  # only the main thread may handle signals
            signal.signal(signal.SIGTERM, _terminate)
        sys.exit(cli.main(prog_name="furiosa-models", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    except BrokenPipeError:
        # The reader has closed the pipe: prevent a second error when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (FuriosaModelsError, OSError, TypeError, ValueError) as error:
        if shows_tracebacks() or not _is_expected(error):
            raise
        print_error(error)
        sys.exit(1)


class _Terminated(BaseException):
    """The process was asked to end."""


def _terminate(number: int, frame: object) -> None:
    del number, frame
    raise _Terminated


def _is_expected(error: Exception) -> bool:
    """Return whether an error is the user's; a plain TypeError is a bug of this package."""
    return isinstance(error, FuriosaModelsError) or not isinstance(error, TypeError)


def print_error(error: Exception) -> None:
    """Print an error; with `--json`, also as a JSON document."""
    from .table import print_json, short

    kind = type(error).__name__ if isinstance(error, FuriosaModelsError) else ""
    click.echo(f"Error: {short(error)}{f' [{kind}]' if kind else ''}", err=True)
    if kind and sys.stderr.isatty():  # a log gets one line
        click.secho(f"What to check: furiosa-models explain {kind}", dim=True, err=True)
    if "--json" in sys.argv[1:]:
        with suppress(OSError):  # the error may be a full disk
            print_json({"error": {"type": type(error).__name__, "message": str(error)}})
