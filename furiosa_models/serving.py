"""A model behind HTTP, as in 0.10: POST a multipart `image` to `/infer`, get `{"result": ...}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import require
from .errors import ImageError
from .model import Model

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["MOST_BYTES", "make_app"]

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

    async def infer(image: UploadFile) -> dict[str, Any]:
        data = await image.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"the photo is larger than {MOST_BYTES} bytes")
        try:
            result = await run_in_threadpool(model.predict, data, device=device)
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        return {"result": result.to_dict()}

    # FastAPI reads annotations at run time, where this file's are strings of names local to here.
    infer.__annotations__ = {"image": UploadFile, "return": dict[str, Any]}
    infer.__defaults__ = (File(...),)
    app.post("/infer")(infer)
    return app
