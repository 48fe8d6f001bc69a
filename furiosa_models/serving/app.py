"""A model behind HTTP: POST a photo as multipart `image`.

`/infer` answers as in 0.10: `{"result": ...}` with what `postprocess` gives there, a list per photo
of objects (`boundingbox`, `score`, `label`, `index`) or people, and for a classifier the label.
`/predict` answers with `Result.to_dict`, in which a classifier has scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import ImageError
from ..model import Model

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["MOST_BYTES", "as_in_0_10", "make_app"]

MOST_BYTES = 64 << 20
"""Largest photo that is accepted."""


def make_app(model: Model[Any], *, device: str | None = None) -> FastAPI:
    """An ASGI application that runs a model.

    The photo is decoded from memory; no file is written.

    Args:
        model: The model; its weights are fetched here, not at the first request.
        device: As for `predict`.

    Raises:
        ExtraRequired: FastAPI is not installed.
        ArtifactError: The weights cannot be had.
    """
    require("fastapi", "serving needs FastAPI", extra="serve")
    from fastapi import FastAPI, File, HTTPException, UploadFile
    from fastapi.concurrency import run_in_threadpool

    model.cpu_program()
    app = FastAPI(title=f"furiosa-models {type(model).__name__}")

    async def predicted(image: UploadFile) -> Any:
        data = await image.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"the photo is larger than {MOST_BYTES} bytes")
        try:
            return await run_in_threadpool(model.predict, data, device=device)
        except ImageError as error:
            raise HTTPException(422, str(error)) from error

    async def infer(image: UploadFile) -> dict[str, Any]:
        return {"result": as_in_0_10(await predicted(image))}

    async def predict(image: UploadFile) -> dict[str, Any]:
        return {"result": _plain(await predicted(image))}

    for path, answer in (("/infer", infer), ("/predict", predict)):
        # FastAPI reads annotations at run time, where this file's are strings of local names.
        answer.__annotations__ = {"image": UploadFile, "return": dict[str, Any]}
        answer.__defaults__ = (File(...),)
        app.post(path)(answer)
    return app


def as_in_0_10(result: Any) -> Any:
    """Return what 0.10 answers for a photo: a label, or a list of one list of what was found."""
    if isinstance(result, str):
        return str(result)
    if isinstance(result, Sequence) and all(is_dataclass(item) for item in result):
        return [[asdict(item) for item in result]]
    return _plain(result)


def _plain(result: Any) -> Any:
    """A result as JSON has it; that of a user's `postprocess` may be so already."""
    return result.to_dict() if hasattr(result, "to_dict") else result
