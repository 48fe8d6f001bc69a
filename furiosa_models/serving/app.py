"""HTTP application of models: photos in, results out; and the v2 protocol.

`/infer` answers as furiosa-models 0.10 does: `{"result": ...}` with the output of its
`postprocess`. That is a label for a classifier, else a list for each photo of objects
(`boundingbox`, `score`, `label`, `index`) or people. `/predict` answers with `Result.to_dict`,
which has scores for classifiers, too. For several photos, both return a list with one entry for
each photo.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..images.color_conversion import parse_background
from ..images.read import Background
from ..model import Model
from .batching import Batching
from .limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

    from .served import Resources, Served

__all__ = ["make_app"]

_PACKAGES = ("fastapi", "fastapi_offline", "python_multipart", "prometheus_client")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def make_app(
    model: Model[Any] | Mapping[str, Model[Any]],
    *,
    device: str | None = None,
    background: Background | None = None,
    limits: Limits | None = None,
    batching: Batching | None = None,
) -> FastAPI:
    """Create an ASGI application that runs one model or several.

    The application decodes photos from memory and writes no files.

    Args:
        model: Model to run, or models by the names that they shall have in URLs; the first one is
            that of `/infer` and `/predict`. Weights are fetched and loaded here, not at the first
            request.
        device: Device, as for `predict`.
        background: Default background color for requests, as for `predict`.
        limits: Limits of requests; see `Limits`.
        batching: How requests form batches; see `Batching`.

    Raises:
        ExtraRequired: FastAPI or a package that it needs is not installed.
        ArtifactError: The weights are not available.
        BackendUnavailable: The device is not available.
        ValueError: `background` is not a color, there is no model, or a name is invalid.
    """
    limits = limits or Limits()
    parse_background(background)
    for package in _PACKAGES:
        require(package, f"serving needs {package}", extra="serve")
    models = {type(model).__name__: model} if isinstance(model, Model) else dict(model)
    _check_names(models)
    from fastapi_offline import FastAPIOffline

    from . import page, photo_routes, v2
    from .access import Access
    from .body import BodyLimits
    from .metrics import Metrics
    from .served import Resources, Served

    resources = Resources(limits, batching or Batching(), Metrics())
    served = {
        name: Served(name, each, resources, device=device, background=background)
        for name, each in models.items()
    }
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        title=f"furiosa-models {', '.join(served)}",
        swagger_ui_parameters={"validatorUrl": None},  # the default one needs the internet
    )
    app.state.is_draining = False
    app.add_middleware(BodyLimits, limits=limits)
    app.add_middleware(Access, metrics=resources.metrics)
    photo_routes.add_routes(app.router, served, resources)
    v2.add_routes(app.router, served, resources)
    page.add_routes(app.router, served)
    _add_health(app, served)
    _add_errors(app)

    _add_metrics(app, resources)
    return app


def _check_names(models: Mapping[str, Model[Any]]) -> None:
    if not models:
        msg = "expected at least one model to serve"
        raise ValueError(msg)
    for name in models:
        if not _NAME.fullmatch(name) or name.endswith(".network"):
            msg = (
                f"invalid name {name!r} of a model: expected letters, digits, '_', '.' and '-', "
                "and no '.network' at the end"
            )
            raise ValueError(msg)


def _add_health(app: FastAPI, served: Mapping[str, Served]) -> None:
    """Add the list of models and the routes of load balancers, some of which send HEAD."""
    from fastapi.responses import JSONResponse

    @app.get("/models", name="models")
    async def models() -> dict[str, Any]:
        """List the models, the first one being that of `/infer` and `/predict`."""
        return {"models": [each.described() for each in served.values()]}

    @app.head("/v2/health/live", include_in_schema=False)
    @app.get("/v2/health/live", name="live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.head("/v2/health/ready", include_in_schema=False)
    @app.get("/v2/health/ready", name="ready")
    async def ready() -> Any:
        is_ready = not app.state.is_draining
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


def _add_metrics(app: FastAPI, resources: Resources) -> None:
    from fastapi.responses import Response

    @app.get("/metrics", name="metrics", response_class=Response)
    def metrics() -> Any:
        """Return the metrics of the server for Prometheus."""
        data, kind = resources.metrics.exposed()
        return Response(data, media_type=kind)


def _add_errors(app: FastAPI) -> None:
    """Add the responses of errors: `error` in the v2 protocol, else `detail`."""
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def response(request: Any, message: Any, status: int, headers: Any = None) -> Response:
        name = "error" if request.url.path.startswith("/v2") else "detail"
        return JSONResponse({name: message}, status, headers)

    @app.exception_handler(HTTPException)
    async def refused(request: Any, error: HTTPException) -> Response:
        return response(request, error.detail, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Any, _error: Exception) -> Response:
        # The server logs the error with its traceback.
        return response(request, "internal error; see the log of the server", 500)
