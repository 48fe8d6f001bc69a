"""`furiosa-models serve`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..catalog import is_file, model_class
from ..errors import FuriosaModelsError
from ..serving import Batching, Limits, make_app
from ..serving.access import LogFormat, log_line
from ..serving.processes import run_processes
from ..serving.server import listen, run
from ..settings import shows_tracebacks
from . import options, print_error
from .models import open_model

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..model import Model

__all__ = ["announce", "command", "serve"]

_EXAMPLES = """\b
Examples:
  furiosa-models serve SSDMobileNetV2
  curl -F image=@street.jpg 'localhost:8000/predict?score_threshold=0.5'
  curl -H 'Content-Type: image/png' --data-binary @cat.png localhost:8000/infer
  furiosa-models serve SSDMobileNet pets=best.onnx --workers 2
  curl -F image=@cat.jpg 'localhost:8000/models/pets/predict?output=jpeg' > boxes.jpg
"""
_MIB = 1 << 20
_DEFAULTS = Limits()
_SECONDS = click.FloatRange(min=0, min_open=True)
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _seconds(name: str, default: float, text: str) -> _Decorator:
    return click.option(
        name, type=_SECONDS, metavar="SECONDS", default=default, show_default=True, help=text
    )


def _mebibytes(name: str, default: int, text: str) -> _Decorator:
    return click.option(
        name,
        type=click.IntRange(min=1),
        metavar="MIB",
        default=default // _MIB,
        show_default=True,
        help=text,
    )


@click.command("serve", epilog=_EXAMPLES)
@options.models
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 selects any free port.",
)
@options.weights
@options.labels
@options.task
@options.device
@options.background
@options.postprocess
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    metavar="PHOTOS",
    help="Maximum photos of several requests in a batch; by default 1 on a CPU, else 8.",
)
@click.option(
    "--max-wait",
    type=click.FloatRange(min=0),
    metavar="MILLISECONDS",
    default=0.0,
    show_default=True,
    help="Time that a photo waits for its batch to be filled.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(min=1),
    metavar="REQUESTS",
    default=_DEFAULTS.max_queue,
    show_default=True,
    help="Maximum requests of a model that wait or run; further ones get 429.",
)
@_mebibytes("--max-request", _DEFAULTS.max_bytes, "Maximum size of a request.")
@_mebibytes(
    "--max-memory", _DEFAULTS.max_memory, "Maximum memory of all requests, without the models'."
)
@_seconds("--header-timeout", _DEFAULTS.header_timeout, "Time for the headers of a request.")
@_seconds("--body-timeout", _DEFAULTS.body_timeout, "Time for the body of a request.")
@_seconds(
    "--queue-timeout", _DEFAULTS.queue_timeout, "Time that a request waits for memory or a model."
)
@click.option(
    "--shutdown-timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    default=_DEFAULTS.shutdown_timeout,
    show_default=True,
    help="Time to finish requests in progress at shutdown.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of processes, each with its share of the CPUs and of the memory.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the log, on the standard error.",
)
@click.pass_context
def command(
    context: click.Context,
    models: tuple[str, ...],
    host: str,
    port: int,
    weights: str | None,
    labels: str | None,
    task: str | None,
    device: str | None,
    background: str | None,
    postprocess: str,
    max_batch: int | None,
    max_wait: float,
    max_queue: int,
    max_request: int,
    max_memory: int,
    header_timeout: float,
    body_timeout: float,
    queue_timeout: float,
    shutdown_timeout: int,
    workers: int,
    log_format: LogFormat,
) -> None:
    """Serve MODELS over HTTP: a page for photos, /infer as in 0.10, and the v2 protocol.

    A model is a name, a file or a folder, or NAME=MODEL to choose its name in URLs. POST photos as
    form parts `image`, or one photo as the body, to /infer, which answers as furiosa-models 0.10
    does, to /predict, which answers in more detail, or to /models/NAME/predict. Open / in a browser
    to drop a photo, and /docs to try requests; both need no internet. The v2 protocol is at /v2,
    metrics for Prometheus are at /metrics. Ctrl-C stops the server.
    """
    if not models:
        msg = "Missing argument 'MODELS...'."
        raise click.UsageError(msg)
    try:
        limits = Limits(
            max_bytes=max_request * _MIB,
            max_memory=max_memory * _MIB // workers,
            max_queue=max_queue,
            header_timeout=header_timeout,
            body_timeout=body_timeout,
            queue_timeout=queue_timeout,
            shutdown_timeout=shutdown_timeout,
        )
        batching = Batching(max_batch=max_batch, max_wait=max_wait / 1000)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    sources = _named(models)
    given: dict[str, Any] = {"weights": weights, "labels": labels, "task": task}
    if len(sources) > 1 and (used := [name for name, value in given.items() if value is not None]):
        msg = f"--{used[0]} applies to one model; save each model to a folder first"
        raise click.UsageError(msg)
    opening = {**given, "postprocess": postprocess}
    serving = {"device": device, "background": background, "limits": limits, "batching": batching}
    ready = partial(announce, ", ".join(sources), host, log_format)
    if workers == 1:
        app = _make(sources, opening, serving)
        serve(app, ready, host=host, port=port, limits=limits, log_format=log_format)
        return
    modules = context.parent.params["modules"] if context.parent else ()
    make = partial(_make_in_process, modules, sources, opening, serving)
    with listen(host, port) as listening:
        on_ready = partial(ready, listening.getsockname()[1])
        run_processes(
            make, listening, workers, limits=limits, log_format=log_format, on_ready=on_ready
        )


def _named(models: Sequence[str]) -> dict[str, str]:
    """Return the MODEL arguments by the names that they have in URLs.

    Raises:
        UsageError: Two models have the same name.
    """
    named: dict[str, str] = {}
    for model in models:
        name, given, source = model.partition("=")
        if not given or is_file(model):
            name, source = _default_name(model), model
        if name in named:
            msg = f"two models have the name {name!r}: choose another one with NAME={source}"
            raise click.UsageError(msg)
        named[name] = source
    return named


def _default_name(model: str) -> str:
    """Return the class of a model in the catalog, or the name of a file without its extension."""
    path = Path(model)
    if not (is_file(model) or path.is_dir() or "://" in model):
        return model_class(model).__name__
    name = path.stem if path.is_file() else path.name
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)


def _make(sources: dict[str, str], opening: dict[str, Any], serving: dict[str, Any]) -> FastAPI:
    """Open the models and make the application."""
    models: dict[str, Model[Any]] = {
        name: open_model(source, **opening) for name, source in sources.items()
    }
    return make_app(models, **serving)


def _make_in_process(modules: Sequence[str], *arguments: Any) -> FastAPI:
    """Make the application in a process of its own, or report in one line why not."""
    try:
        for module in modules:
            importlib.import_module(module)
        return _make(*arguments)
    except click.ClickException as error:
        error.show()
    except (FuriosaModelsError, OSError, ValueError) as error:
        if shows_tracebacks():
            raise
        print_error(error)
    raise SystemExit(1)


def serve(
    app: FastAPI,
    ready: Callable[[int], object],
    *,
    host: str,
    port: int,
    limits: Limits | None = None,
    log_format: LogFormat = "text",
) -> None:
    """Serve an application until SIGINT or SIGTERM; `ready` is called with the port."""
    with listen(host, port) as listening:
        ready(listening.getsockname()[1])
        run(app, listening, limits, log_format=log_format)


def announce(names: str, host: str, log_format: LogFormat, port: int) -> None:
    """Report the address on the standard error."""
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    verb = "are" if ", " in names else "is"
    text = f"{names} {verb} served at {address}"
    click.echo(text if log_format == "text" else log_line(text), err=True)
