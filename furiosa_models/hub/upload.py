"""Uploads of files to the address that a hub gives for them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..artifacts.sources import SourceError, redact
from ..artifacts.sources import http as transport
from ..artifacts.sources.base import describe_error
from ..artifacts.sources.timeout import run_with_timeout
from ..errors import HubError
from .client import ApiClient

__all__ = ["upload"]

_SUCCESSES = (200, 201, 204)


class _Form:
    """The body of a form with a file, which is read as it is sent."""

    def __init__(self, fields: Mapping[str, object], path: Path, file: BinaryIO) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
            f"{value}\r\n"
            for name, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="{_quoted(path.name)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        self._before = "".join(parts).encode()
        self._after = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def __len__(self) -> int:
        return len(self._before) + self._size + len(self._after)

    def __iter__(self) -> Any:
        self._file.seek(0)
        yield self._before
        while chunk := self._file.read(transport.BODY_CHUNK):
            yield chunk
        yield self._after


def upload(client: ApiClient, place: str, path: Path, what: str) -> None:
    """Upload a file of a model or data set.

    Args:
        client: Client of the hub.
        place: Path of the model or data set below the URL of the hub: `models/REF`.
        path: The file.
        what: What is done, for messages.

    Raises:
        HubError: The file cannot be read, or the hub does not take it.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        msg = f"cannot {what}: {path}: {error.strerror or error}"
        raise HubError(msg) from error
    request = {"file_size_bytes": size, "file_name": path.name}
    target = client.post(f"{place}/generate-upload-url", what, json=request)
    url, fields = _target(target, what)
    try:
        status = run_with_timeout(
            transport.TOTAL_TIMEOUT_S,
            lambda: transport.retried(lambda: _post(url, fields, path)),
        )
    except Exception as error:
        reason = error if isinstance(error, SourceError) else describe_error(error, url)
        msg = f"cannot {what}: {redact(url)} did not take {path.name}: {reason}"
        raise HubError(msg) from None
    if status not in _SUCCESSES:
        msg = f"cannot {what}: {redact(url)} did not take {path.name}: it answered {status}"
        raise HubError(msg, status)


def _target(target: Any, what: str) -> tuple[str, Mapping[str, object]]:
    """Return the URL and the fields of the form that the hub asks for."""
    url, fields = (
        (target.get("url"), target.get("fields")) if isinstance(target, Mapping) else (0, 0)
    )
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        msg = f"cannot {what}: expected a url and fields to upload to, got {str(target)[:60]!r}"
        raise HubError(msg)
    return url, fields if isinstance(fields, Mapping) else {}


def _post(url: str, fields: Mapping[str, object], path: Path) -> int:
    """Send the form, without the API key; return the status of the answer."""
    timeouts = (transport.CONNECT_TIMEOUT_S, transport.STALL_TIMEOUT_S)
    with (
        path.open("rb") as file,
        transport.new_session() as session,
        transport.connection_errors(url),
    ):
        form = _Form(fields, path, file)
        headers = {"Content-Type": form.content_type, "Content-Length": str(len(form))}
        with session.post(
            url, data=form, headers=headers, timeout=timeouts, stream=True, allow_redirects=False
        ) as response:
            if response.status_code in transport.TRANSIENT_STATUSES:
                msg = f"HTTP {response.status_code}"
                raise transport.TransientError(msg, transport.retry_after(response))
            return response.status_code


def _quoted(text: str) -> str:
    """Return a text for a header: without quotes and line breaks."""
    return "".join("_" if each in '"\\\r\n' else each for each in str(text))
