"""HTTP application of a model: POST photos as form parts `image`, or one photo as the body.

`/infer` answers as furiosa-models 0.10 does: `{"result": ...}` with the output of its
`postprocess`. That is a label for a classifier, else a list for each photo of objects
(`boundingbox`, `score`, `label`, `index`) or people. `/predict` answers with `Result.to_dict`,
which has scores for classifiers, too. For several photos, both return a list with one entry for
each photo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import ImageError
from ..images.color_conversion import parse_background
from ..images.decode import decoding_bytes
from ..images.read import Background, EncodedPhoto
from ..model import Model
from ..runtime.machine import workers
from .limits import Budget, Busy, Limits

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

__all__ = ["as_in_0_10", "make_app"]

_PHOTO = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {"image": {"type": "array", "items": _PHOTO}},
    "required": ["image"],
}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _FORM},
        "image/*": {"schema": _PHOTO},
        "application/octet-stream": {"schema": _PHOTO},
    },
}
_JSON = "application/json"
_RESULT = {
    "type": "object",
    "properties": {
        "result": {"description": "Result of one photo, or a list of the results of several."}
    },
    "required": ["result"],
}
_ERRORS = {
    408: "The body did not arrive within the time limit.",
    413: "The body is too large, or decoding a photo needs too much memory.",
    415: "The content type is neither that of a form nor that of a photo.",
    422: "The photo is missing or cannot be decoded, or a parameter is unknown or invalid.",
    503: "The server is busy; retry after the seconds in `Retry-After`.",
}


def make_app(
    model: Model[Any],
    *,
    device: str | None = None,
    background: Background | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """Create an ASGI application that runs a model.

    The application decodes photos from memory and writes no files.

    Args:
        model: Model to run; its weights are fetched and loaded here, not at the first request.
        device: Device, as for `predict`.
        background: Default background color for requests, as for `predict`.
        limits: Limits of requests; see `Limits`.

    Raises:
        ExtraRequired: FastAPI or a package that it needs is not installed.
        ArtifactError: The weights are not available.
        BackendUnavailable: The device is not available.
        ValueError: `background` is not a color.
    """
    limits = limits or Limits()
    parse_background(background)
    for package in ("fastapi", "fastapi_offline", "python_multipart"):
        require(package, f"serving needs {package}", extra="serve")
    from fastapi import Request, Response
    from fastapi.responses import JSONResponse, RedirectResponse
    from fastapi_offline import FastAPIOffline

    from .body import BodyLimits
    from .options import QueryOptions
    from .uploads import read_photos

    model.steps(device=device)
    defaults = {} if background is None else {"background": background}
    options = QueryOptions(model)
    predictor = _Predictor(partial(model.predict, device=device), limits)
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        title=f"furiosa-models {type(model).__name__}",
        swagger_ui_parameters={"validatorUrl": None},  # the default one needs the internet
    )
    app.add_middleware(BodyLimits, limits=limits)

    def add(path: str, alone: Callable[[Any], Any], of_several: Callable[[Any], Any]) -> None:
        async def answer(request: Request) -> Response:
            request_options = {**defaults, **options.read(request.query_params.multi_items())}
            photos = await read_photos(request, limits.max_photos)
            shape = alone if len(photos) == 1 else of_several
            results = [
                await predictor.run(request, photo, request_options, shape) for photo in photos
            ]
            result = results[0] if len(photos) == 1 else f"[{','.join(results)}]"
            return Response(f'{{"result":{result}}}', media_type=_JSON)

        # FastAPI evaluates annotations, but those of this file are strings with local names.
        answer.__annotations__ = {"request": Request, "return": Response}
        answer.__doc__ = f"Run {type(model).__name__} on photos."
        described = {"parameters": options.described(), "requestBody": _BODY}
        responses: dict[int | str, dict[str, Any]] = {
            200: {"description": "Results of the photos.", "content": {_JSON: {"schema": _RESULT}}},
            **{status: {"description": text} for status, text in _ERRORS.items()},
        }
        app.post(path, name=path[1:], openapi_extra=described, responses=responses)(answer)

    add("/infer", as_in_0_10, _found_in_0_10)
    add("/predict", _plain, _plain)

    @app.get("/", include_in_schema=False)
    async def home() -> Any:
        return RedirectResponse("docs")

    @app.head("/v2/health/live", include_in_schema=False)  # some load balancers send HEAD
    @app.get("/v2/health/live", name="live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.head("/v2/health/ready", include_in_schema=False)
    @app.get("/v2/health/ready", name="ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.exception_handler(Exception)
    async def failed(_request: Any, _error: Exception) -> Response:
        # The server logs the error with its traceback.
        return JSONResponse({"detail": "internal error; see the log of the server"}, 500)

    return app


class _Predictor:
    """Runs a model for requests, with limited memory and a limited number of threads.

    Args:
        predict: Function of an encoded photo and options that returns the result.
        limits: Limits of requests.
    """

    def __init__(self, predict: Callable[..., Any], limits: Limits) -> None:
        self._predict = predict
        self._memory = Budget.of(limits, limits.photo_memory)
        self._threads = Budget.of(limits, workers() + 1)

    async def run(
        self,
        request: Request,
        photo: EncodedPhoto,
        options: dict[str, Any],
        shape: Callable[[Any], Any],
    ) -> str:
        """Predict one photo, and return the result as JSON.

        Args:
            request: The request.
            photo: Encoded photo.
            options: Options of `predict`.
            shape: Function that converts a result to the response format of the route.

        Raises:
            HTTPException: The photo cannot be decoded, an option is out of range, or the server has
                no memory or CPU for the photo.
        """
        from fastapi import HTTPException
        from fastapi.concurrency import run_in_threadpool

        from .body import busy

        needed = await run_in_threadpool(decoding_bytes, photo.data)
        if needed > self._memory.total:
            msg = (
                f"image {photo.name!r} needs up to {needed / 1e6:.0f} MB to decode; the limit of "
                f"the server is {self._memory.total / 1e6:.0f} MB: send a smaller image"
            )
            raise HTTPException(413, msg)
        try:
            async with self._memory.taken(needed), self._threads.taken(1):
                if await request.is_disconnected():  # nobody needs the result
                    raise HTTPException(400, "the connection was closed")
                work = partial(self._predict, photo, **options)
                # A result may be long: encode it in this thread, not in the event loop's.
                return await run_in_threadpool(lambda: _encoded(shape(work())))
        except Busy:
            raise busy() from None
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except ValueError as error:
            if not any(name in str(error) for name in options):
                raise
            raise HTTPException(422, str(error)) from error


def as_in_0_10(result: Any) -> Any:
    """Return the result of one photo as 0.10 does: a label, or a list with one list of objects."""
    found = _found_in_0_10(result)
    return [found] if _is_found(result) else found


def _found_in_0_10(result: Any) -> Any:
    """Return the entry of 0.10 for one of several photos: a label, or a list of objects."""
    if isinstance(result, str):
        return str(result)
    return [asdict(item) for item in result] if _is_found(result) else _plain(result)


def _is_found(result: Any) -> bool:
    """Return whether a result is a sequence of dataclasses, such as objects or people."""
    return (
        isinstance(result, Sequence)
        and not isinstance(result, str)
        and all(is_dataclass(item) for item in result)
    )


def _plain(result: Any) -> Any:
    """Convert a result to JSON types; a user's `postprocess` may have done so already."""
    return result.to_dict() if hasattr(result, "to_dict") else result


def _encoded(result: Any) -> str:
    """Encode a result as JSON; a user's `postprocess` may return any type that FastAPI encodes."""
    from fastapi.encoders import jsonable_encoder

    compact: dict[str, Any] = {"allow_nan": False, "separators": (",", ":")}
    return json.dumps(result, ensure_ascii=False, default=jsonable_encoder, **compact)
