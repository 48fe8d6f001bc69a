"""A model behind HTTP: POST photos as parts `image` of a form, or one as the body.

`/infer` answers as in 0.10: `{"result": ...}` with what `postprocess` gives there, a list per photo
of objects (`boundingbox`, `score`, `label`, `index`) or people, and for a classifier the label.
`/predict` answers with `Result.to_dict`, in which a classifier has scores. For several photos both
give a list that has an entry for each of them.
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
    "properties": {"result": {"description": "Of one photo; a list of those of several."}},
    "required": ["result"],
}
_ERRORS = {
    408: "The body did not arrive in time.",
    413: "The body is too large, or a photo takes too much memory to decode.",
    415: "The body is neither a form nor a photo.",
    422: "There is no photo, it cannot be decoded, or a parameter is unknown or wrong.",
    503: "The server is busy; `Retry-After` says when to try again.",
}


def make_app(
    model: Model[Any],
    *,
    device: str | None = None,
    background: Background | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """Return an ASGI application that runs a model.

    Photos are decoded from memory; no file is written.

    Args:
        model: The model; its weights are fetched and loaded here, not at the first request.
        device: As for `predict`.
        background: As for `predict`, where a request does not choose another.
        limits: What requests may cost; see `Limits`.

    Raises:
        ExtraRequired: FastAPI, or what it needs, is not installed.
        ArtifactError: The weights cannot be had.
        BackendUnavailable: The device is not there.
        ValueError: `background` is no color.
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
        swagger_ui_parameters={"validatorUrl": None},  # which is on the internet
    )
    app.add_middleware(BodyLimits, limits=limits)

    def add(path: str, alone: Callable[[Any], Any], of_several: Callable[[Any], Any]) -> None:
        async def answer(request: Request) -> Response:
            given = {**defaults, **options.read(request.query_params.multi_items())}
            photos = await read_photos(request, limits.max_photos)
            shape = alone if len(photos) == 1 else of_several
            results = [await predictor.run(request, photo, given, shape) for photo in photos]
            result = results[0] if len(photos) == 1 else f"[{','.join(results)}]"
            return Response(f'{{"result":{result}}}', media_type=_JSON)

        # FastAPI reads annotations at run time, where this file's are strings of local names.
        answer.__annotations__ = {"request": Request, "return": Response}
        answer.__doc__ = f"Run {type(model).__name__} on photos."
        described = {"parameters": options.described(), "requestBody": _BODY}
        responses: dict[int | str, dict[str, Any]] = {
            200: {"description": "What was found.", "content": {_JSON: {"schema": _RESULT}}},
            **{status: {"description": text} for status, text in _ERRORS.items()},
        }
        app.post(path, name=path[1:], openapi_extra=described, responses=responses)(answer)

    add("/infer", as_in_0_10, _found_in_0_10)
    add("/predict", _plain, _plain)

    @app.get("/", include_in_schema=False)
    async def home() -> Any:
        return RedirectResponse("docs")

    @app.head("/v2/health/live", include_in_schema=False)  # as load balancers ask
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
        return JSONResponse({"detail": "internal error; the log of the server has more"}, 500)

    return app


class _Predictor:
    """Runs a model for requests, as many at once as there is memory and are CPUs for.

    Args:
        predict: Given an encoded photo and options, its result.
        limits: What photos may cost.
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
        """Return the result of a photo in the form of a route, as JSON.

        Raises:
            HTTPException: The photo cannot be decoded, an option is out of range, or there is
                neither memory nor a CPU for it.
        """
        from fastapi import HTTPException
        from fastapi.concurrency import run_in_threadpool

        from .body import busy

        needed = await run_in_threadpool(decoding_bytes, photo.data)
        if needed > self._memory.total:
            msg = (
                f"image {photo.name!r} takes up to {needed / 1e6:.0f} MB to decode; the server has "
                f"{self._memory.total / 1e6:.0f} MB for it"
            )
            raise HTTPException(413, msg)
        try:
            async with self._memory.taken(needed), self._threads.taken(1):
                if await request.is_disconnected():  # nobody waits for it any more
                    raise HTTPException(400, "the connection was closed")
                work = partial(self._predict, photo, **options)
                # A result may be long: it is no work for the thread that all requests share.
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
    """Return what 0.10 answers for a photo: a label, or a list of one list of what was found."""
    found = _found_in_0_10(result)
    return [found] if _is_found(result) else found


def _found_in_0_10(result: Any) -> Any:
    """What 0.10 says of one of several photos: a label, or a list of what was found."""
    if isinstance(result, str):
        return str(result)
    return [asdict(item) for item in result] if _is_found(result) else _plain(result)


def _is_found(result: Any) -> bool:
    """Whether a result is a sequence of things found."""
    return (
        isinstance(result, Sequence)
        and not isinstance(result, str)
        and all(is_dataclass(item) for item in result)
    )


def _plain(result: Any) -> Any:
    """A result as JSON has it; that of a user's `postprocess` may be so already."""
    return result.to_dict() if hasattr(result, "to_dict") else result


def _encoded(result: Any) -> str:
    """A result as JSON; what a user's `postprocess` gives may be all that FastAPI takes."""
    from fastapi.encoders import jsonable_encoder

    compact: dict[str, Any] = {"allow_nan": False, "separators": (",", ":")}
    return json.dumps(result, ensure_ascii=False, default=jsonable_encoder, **compact)
