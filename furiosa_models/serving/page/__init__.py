"""The page at `/`: a photo in, results drawn on it. Its files need no network but the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from ..served import Served

__all__ = ["add_routes"]

_FOLDER = Path(__file__).parent
_SAMPLES = ("grace_hopper.jpg", "rocket.jpg")
_FILES = ("page.css", "page.js", *(f"samples/{name}" for name in _SAMPLES))
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def add_routes(router: APIRouter, models: Mapping[str, Served]) -> None:
    """Add the page and its files to a router."""

    async def page() -> FileResponse:
        return FileResponse(_FOLDER / "index.html", headers=_HEADERS)

    async def file(name: str) -> FileResponse:
        if name not in _FILES:
            raise HTTPException(404, "Not Found")
        return FileResponse(_FOLDER / name, headers=_HEADERS)

    async def facts() -> dict[str, Any]:
        return {"models": [each.described() for each in models.values()], "samples": [*_SAMPLES]}

    hidden: dict[str, Any] = {"methods": ["GET"], "include_in_schema": False}
    router.add_api_route("/", page, **hidden, response_class=FileResponse)
    router.add_api_route("/page/models.json", facts, **hidden)
    router.add_api_route("/page/{name:path}", file, **hidden, response_class=FileResponse)
