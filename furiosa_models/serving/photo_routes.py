"""Routes that take photos: `/infer` as in 0.10, and `/predict` in more detail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from .answers import Answer, Form, as_in_0_10, found_in_0_10, picture, plain, to_json
from .served import Resources, Served
from .uploads import read_photos

__all__ = ["add_routes"]

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
_JSON, _JPEG = "application/json", "image/jpeg"
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
    429: "The queue of the model is full; retry after the seconds in `Retry-After`.",
    503: "The server is busy; retry after the seconds in `Retry-After`.",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Results of the photos, or the annotated photo.",
        "content": {_JSON: {"schema": _RESULT}, _JPEG: {"schema": _PHOTO}},
    },
    **{status: {"description": text} for status, text in _ERRORS.items()},
}
_OUTPUT = "output"
_OUTPUTS = ("json", "jpeg")
_OUTPUT_PARAMETER = {
    "name": _OUTPUT,
    "in": "query",
    "required": False,
    "description": "Format of the response: JSON, or the annotated photo as a JPEG.",
    "schema": {"type": "string", "enum": [*_OUTPUTS], "default": _OUTPUTS[0]},
}
_Shape = Callable[[Any], Any]


def add_routes(router: APIRouter, models: Mapping[str, Served], resources: Resources) -> None:
    """Add `/infer` and `/predict` for the first model, and `/models/NAME/...` for each.

    Args:
        router: Router to extend.
        models: The models by name, the first one being the default.
        resources: What they share.
    """
    first = next(iter(models.values()))
    prefixes = [("", first), *((f"/models/{name}", served) for name, served in models.items())]
    for prefix, served in prefixes:
        _add(router, f"{prefix}/infer", served, resources, as_in_0_10, found_in_0_10)
        _add(router, f"{prefix}/predict", served, resources, plain, plain)


def _add(
    router: APIRouter,
    path: str,
    served: Served,
    resources: Resources,
    alone: _Shape,
    of_several: _Shape,
) -> None:
    """Add a route; the shapes convert the result of the only photo, and of one of several."""

    async def answer(request: Request) -> Response:
        query, output = _split(request.query_params.multi_items())
        options = served.options.read(query)
        served.check_place()
        photos = await read_photos(request, resources.limits.max_photos)
        if output == "jpeg" and len(photos) > 1:
            msg = f"output=jpeg needs one photo in a request, got {len(photos)}"
            raise HTTPException(422, msg)
        form = picture if output == "jpeg" else _json_of(alone if len(photos) == 1 else of_several)
        with served.place():
            answers = await served.predict(
                photos,
                options,
                lambda result: Answer.of(result, form),
                request.is_disconnected,
                draws=output == "jpeg",
            )
        return _response(answers, output)

    answer.__doc__ = f"Run {served.name} on photos."
    described = {
        "parameters": [*served.options.described(), _OUTPUT_PARAMETER],
        "requestBody": _BODY,
    }
    name = path.strip("/").replace("/", " ")
    router.post(path, name=name, tags=[served.name], openapi_extra=described, responses=_RESPONSES)(
        answer
    )


def _split(query: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], str]:
    """Return the options of the model in a query, and the format of the response."""
    outputs = [text for name, text in query if name == _OUTPUT] or [_OUTPUTS[0]]
    if len(outputs) > 1 or outputs[0] not in _OUTPUTS:
        msg = f"invalid query parameter {_OUTPUT}={','.join(outputs)[:100]!r}: expected one of "
        raise HTTPException(422, msg + ", ".join(_OUTPUTS))
    return [(name, text) for name, text in query if name != _OUTPUT], outputs[0]


def _json_of(shape: _Shape) -> Form:
    return lambda result: to_json(shape(result))


def _response(answers: list[Answer], output: str) -> Response:
    if output == "jpeg":
        return Response(answers[0].data, media_type=_JPEG, headers=_timing(answers))
    joined = b",".join([answer.data for answer in answers])
    body = b'{"result":%b}' % (joined if len(answers) == 1 else b"[%b]" % joined)
    return Response(body, media_type=_JSON, headers=_timing(answers))


def _timing(answers: list[Answer]) -> dict[str, str]:
    """Return the time of each stage of the only photo as the header `Server-Timing`."""
    speed = answers[0].speed if len(answers) == 1 else None
    if speed is None:
        return {}
    stages = [f"{name};dur={value:.2f}" for name, value in speed._asdict().items()]
    return {"Server-Timing": ", ".join(stages)}
