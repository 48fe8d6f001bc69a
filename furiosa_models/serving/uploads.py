"""Reader of the photos of a request: parts of a form, or the body itself."""

from __future__ import annotations

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ..images.read import EncodedPhoto

__all__ = ["read_body", "read_photos"]

_PART = "image"
_FORM = "multipart/form-data"
_RAW = "application/octet-stream"
_MAX_NAME = 200
_NO_PHOTO = (
    "the request has no photo: expected parts named 'image' in a multipart/form-data body, or the "
    "photo itself as the body (for example with Content-Type: image/png)"
)
_BROKEN = "the multipart/form-data body cannot be read"


async def read_photos(request: Request, max_photos: int) -> list[EncodedPhoto]:
    """Return the photos of a request in their order; they stay in memory.

    Args:
        request: Request to read.
        max_photos: Maximum number of photos.

    Raises:
        HTTPException: The request has no photo, too many photos or an unknown form field.
    """
    content_type = request.headers.get("content-type", _RAW)
    kind = parse_options_header(content_type)[0].decode("latin-1")
    try:
        if kind == _FORM:
            return await _read_form(request, content_type, max_photos)
        if kind != _RAW and not kind.startswith("image/"):
            msg = f"unsupported Content-Type {kind!r}: expected {_FORM}, image/* or {_RAW}"
            raise HTTPException(415, msg)
    except ClientDisconnect:
        raise _closed() from None
    data = await read_body(request)
    if not data:
        raise HTTPException(422, _NO_PHOTO)
    return [EncodedPhoto(data, "<body>")]


async def read_body(request: Request) -> bytes:
    """Return the body of a request, which stays in memory.

    Raises:
        HTTPException: The body is compressed, or the connection was closed.
    """
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        msg = f"unsupported Content-Encoding {encoding[:20]!r}: send the body as it is"
        raise HTTPException(415, msg)
    try:
        return b"".join([chunk async for chunk in request.stream()])
    except ClientDisconnect:
        raise _closed() from None


def _closed() -> HTTPException:
    return HTTPException(400, "the connection was closed before the body arrived")


async def _read_form(request: Request, content_type: str, max_photos: int) -> list[EncodedPhoto]:
    form = _Form(max_photos)
    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")},
            form.add_field,
            form.add_file,
            config={"MAX_MEMORY_FILE_SIZE": float("inf")},  # never write to a disk
        )
        parser.on_end = form.end
        async for chunk in request.stream():
            parser.write(chunk)
    except FormParserError as error:
        raise HTTPException(422, f"{_BROKEN}: {error}") from error
    if not form.is_complete:
        raise HTTPException(422, f"{_BROKEN}: the closing boundary is missing")
    if not form.photos:
        raise HTTPException(422, _NO_PHOTO)
    return form.photos


class _Form:
    """The parts of a form, collected as they arrive.

    Attributes:
        photos: Photos so far.
        is_complete: Whether the closing boundary has arrived.

    Args:
        max_photos: Maximum number of photos.
    """

    def __init__(self, max_photos: int) -> None:
        self.photos: list[EncodedPhoto] = []
        self.is_complete = False
        self._max_photos = max_photos

    def add_file(self, file: File) -> None:
        """Add a part that has a file name."""
        memory: Any = file.file_object  # a BytesIO, whose `getvalue` does not copy
        self._add(file.field_name, file.file_name, memory.getvalue())

    def add_field(self, field: Field) -> None:
        """Add a part that has no file name but is a photo, too."""
        self._add(field.field_name, None, field.value or b"")

    def end(self) -> None:
        """Record the closing boundary."""
        self.is_complete = True

    def _add(self, name: bytes | None, file_name: bytes | None, data: bytes) -> None:
        field = (name or b"").decode("utf-8", "replace")
        if field != _PART:
            msg = (
                f"unknown form field {field[:_MAX_NAME]!r}: expected {_PART!r}, once for each "
                "photo; pass options as query parameters of the URL"
            )
            raise HTTPException(422, msg)
        if len(self.photos) == self._max_photos:
            msg = f"too many photos: expected at most {self._max_photos} in a request"
            raise HTTPException(422, msg)
        called = (file_name or b"").decode("utf-8", "replace")[:_MAX_NAME]
        self.photos.append(EncodedPhoto(data, called or f"{_PART} {len(self.photos) + 1}"))
