"""`furiosa-models serve`."""

from __future__ import annotations

import click

from ..catalog import get_model
from ..errors import ExtraRequired
from ..serving import make_app

__all__ = ["command"]


@click.command("serve")
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port to listen on.")
@click.option("--weights", help="A set of weights (see `desc`), or an ONNX file.")
@click.option("--devices", "device", help="cpu, or an NPU such as 'warboy(2)*1'.")
@click.option(
    "--postprocess",
    type=click.Choice(["rust", "python"], case_sensitive=False),
    default="rust",
    show_default=True,
)
def command(
    model: str, host: str, port: int, weights: str | None, device: str | None, postprocess: str
) -> None:
    """Serve a MODEL over HTTP: POST a photo as `image` to /infer."""
    network = get_model(model, weights=weights, postprocessor_type=postprocess)
    app = make_app(network, device=device)
    try:
        import uvicorn
    except ImportError as error:
        msg = "serving needs uvicorn: pip install 'furiosa-model-zoo[serve]'"
        raise ExtraRequired(msg) from error
    uvicorn.run(app, host=host, port=port)
