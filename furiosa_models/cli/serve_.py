"""`furiosa-models serve`."""

from __future__ import annotations

from typing import Any

import click

from .._lazy import require
from ..model import Model
from ..serving import make_app
from . import options
from .models import open_model

__all__ = ["command", "serve"]


@click.command("serve")
@options.model
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 is any that is free.",
)
@options.weights
@options.labels
@options.task
@options.device
@options.postprocess
def command(
    model: str,
    host: str,
    port: int,
    weights: str | None,
    labels: str | None,
    task: str | None,
    device: str | None,
    postprocess: str,
) -> None:
    """Serve a MODEL over HTTP: POST a photo as `image` to /infer."""
    network = open_model(model, weights, labels=labels, task=task, postprocess=postprocess)
    serve(network, host=host, port=port, device=device)


def serve(network: Model[Any], *, host: str, port: int, device: str | None = None) -> None:
    """Serve a model until the process is told to end."""
    app = make_app(network, device=device)
    require("uvicorn", "serving needs uvicorn", extra="serve").run(app, host=host, port=port)
