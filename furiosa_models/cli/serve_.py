"""`furiosa-models serve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..model import Model
from ..serving import Limits, make_app
from ..serving.server import listen, run
from . import options
from .models import open_model

__all__ = ["command", "serve"]

_EXAMPLES = """\b
Examples:
  furiosa-models serve SSDMobileNetV2
  curl -F image=@street.jpg 'localhost:8000/predict?score_threshold=0.5'
  curl -H 'Content-Type: image/png' --data-binary @cat.png localhost:8000/infer
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
@options.model
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
@_mebibytes("--max-request", _DEFAULTS.max_bytes, "Maximum size of a request.")
@_mebibytes(
    "--max-memory", _DEFAULTS.max_memory, "Maximum memory of all requests, without the model's."
)
@_seconds("--header-timeout", _DEFAULTS.header_timeout, "Time for the headers of a request.")
@_seconds("--body-timeout", _DEFAULTS.body_timeout, "Time for the body of a request.")
@_seconds("--queue-timeout", _DEFAULTS.queue_timeout, "Time that a request waits for memory.")
@click.option(
    "--shutdown-timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    default=_DEFAULTS.shutdown_timeout,
    show_default=True,
    help="Time to finish requests in progress at shutdown.",
)
def command(
    model: str,
    host: str,
    port: int,
    weights: str | None,
    labels: str | None,
    task: str | None,
    device: str | None,
    background: str | None,
    postprocess: str,
    max_request: int,
    max_memory: int,
    header_timeout: float,
    body_timeout: float,
    queue_timeout: float,
    shutdown_timeout: int,
) -> None:
    """Serve a MODEL over HTTP: POST a photo as `image` to /infer.

    /infer answers as furiosa-models 0.10 does, /predict in more detail. Send photos as form parts
    `image`, or one photo as the body. Try requests on the page /docs, which needs no internet.
    Ctrl-C stops the server.
    """
    try:
        limits = Limits(
            max_bytes=max_request * _MIB,
            max_memory=max_memory * _MIB,
            header_timeout=header_timeout,
            body_timeout=body_timeout,
            queue_timeout=queue_timeout,
            shutdown_timeout=shutdown_timeout,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    network = open_model(model, weights, labels=labels, task=task, postprocess=postprocess)
    serve(network, host=host, port=port, device=device, background=background, limits=limits)


def serve(
    network: Model[Any],
    *,
    host: str,
    port: int,
    device: str | None = None,
    background: str | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve a model until SIGINT or SIGTERM; arguments are those of `make_app`."""
    app = make_app(network, device=device, background=background, limits=limits)
    with listen(host, port) as listening:
        number = listening.getsockname()[1]
        address = f"[{host}]" if ":" in host else host
        click.echo(f"{type(network).__name__} is served at http://{address}:{number}", err=True)
        run(app, listening, limits)
