"""Download photos over HTTP, with limits on time and size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import settings
from ..artifacts.sources import SourceError, without_password
from ..artifacts.sources.base import describe_error
from ..artifacts.sources.http import check_encoding, new_session, open_url, parse_number
from ..artifacts.sources.timeout import run_with_timeout
from ..errors import ImageError
from .limits import MAX_ENCODED_BYTES

if TYPE_CHECKING:
    from requests import Response

__all__ = ["DEADLINE_S", "download"]

DEADLINE_S = 60.0
"""Time limit of a download in seconds, including host name lookup."""

_TIMEOUT_S = (10.0, 30.0)  # connect and read timeouts
_CHUNK = 1 << 16


def download(url: str) -> bytes:
    """Return the body at a URL.

    Raises:
        ImageError: The download fails, takes too long, is too large, or the network is disabled by
            `FURIOSA_MODELS_OFFLINE`.
    """
    name = without_password(url)
    if settings.is_offline():
        msg = f"image {name} is not downloaded: FURIOSA_MODELS_OFFLINE is set"
        raise ImageError(msg)
    end = time.monotonic() + DEADLINE_S
    try:
        return run_with_timeout(DEADLINE_S, lambda: _get(url, name, end))
    except (ImageError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # requests does not wrap all errors of urllib3 and codecs
        if isinstance(error, TimeoutError) and time.monotonic() >= end:
            raise ImageError(_timeout_message(name)) from None
        detail = str(error) if isinstance(error, SourceError) else describe_error(error, url)
        msg = f"image {name} cannot be fetched: {detail}"
        raise ImageError(msg) from (None if name != url else error)


def _timeout_message(name: str) -> str:
    return f"image {name} cannot be fetched: it took longer than {DEADLINE_S:g} seconds"


def _get(url: str, name: str, end: float) -> bytes:
    headers = {"Accept-Encoding": "identity"}
    with (
        new_session() as session,
        open_url(session, url, headers, _TIMEOUT_S) as response,
    ):
        response.raise_for_status()
        check_encoding(response)
        return _read(response, name, end)


def _read(response: Response, name: str, end: float) -> bytes:
    _check(parse_number(response.headers.get("Content-Length")) or 0, name)
    body, size = [], 0
    for chunk in response.iter_content(_CHUNK):
        if time.monotonic() > end:  # the caller has given up
            raise ImageError(_timeout_message(name))
        size += len(chunk)
        _check(size, name)
        body.append(chunk)
    return b"".join(body)


def _check(size: int, name: str) -> None:
    if size > MAX_ENCODED_BYTES:
        msg = f"image {name} is larger than the limit of {MAX_ENCODED_BYTES} bytes"
        raise ImageError(msg)
