"""Files behind HTTP: retried when that may help, and continued where a body broke off."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import Sink, SourceError, redact

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["copy_http"]

ATTEMPTS = 5
CONNECT_ATTEMPTS = 2
"""A server that is not there is rarely there a moment later; the next source may be."""

BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
CONNECT_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 60.0
TOTAL_TIMEOUT_S = 3600.0
MAX_REDIRECTS = 10
BODY_CHUNK = 1 << 17
"""Bytes read at once: the most that are lost where a body breaks off."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Passing(Exception):
    """A failure that may be over in a moment.

    Attributes:
        delay: Seconds that the server asks to wait, or None.
        attempts: How often to try in all.
    """

    def __init__(
        self, reason: str, delay: float | None = None, attempts: int | None = None
    ) -> None:
        super().__init__(reason)
        self.delay = delay
        self.attempts = attempts or ATTEMPTS


def copy_http(uri: str, sink: Sink) -> None:
    """Stream the body of a GET into `sink`, after what is there already.

    Connection errors, stalls, cut bodies and answers that may pass (429, 5xx) are retried with
    exponential backoff and jitter, and continued with a range request where the server can.

    Raises:
        SourceError: The server cannot be reached, refuses (404, 403), or fails for too long.
    """
    import requests

    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        for attempt in range(ATTEMPTS):
            try:
                _attempt(session, uri, sink, deadline)
            except _Passing as failure:
                _wait_or_give_up(failure, attempt, deadline)
            except requests.RequestException as error:  # a bad URL, too many redirects
                raise SourceError(_reason(error, uri)) from error
            else:
                return


def _attempt(session: Session, uri: str, sink: Sink, deadline: float) -> None:
    import requests

    headers = {"Accept-Encoding": "identity"}
    if sink.position:
        headers["Range"] = f"bytes={sink.position}-"
    timeouts = (CONNECT_TIMEOUT_S, STALL_TIMEOUT_S)
    try:
        with session.get(uri, stream=True, timeout=timeouts, headers=headers) as response:
            _check_status(response, sink)
            _place(response, sink)
            _stream(response, sink, deadline)
    except requests.exceptions.SSLError:
        raise  # a wrong certificate stays wrong
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        attempts = CONNECT_ATTEMPTS if _never_connected(error) else ATTEMPTS
        raise _Passing(_reason(error, uri), attempts=attempts) from error


def _check_status(response: Response, sink: Sink) -> None:
    status = f"HTTP {response.status_code} {response.reason or ''}".strip()
    if response.status_code in _PASSING:
        raise _Passing(status, _retry_after(response))
    if response.status_code == 416:
        sink.rewind()
        raise _Passing(status, 0.0)
    if response.status_code not in (200, 206):
        raise SourceError(status)


def _place(response: Response, sink: Sink) -> None:
    """See to it that the body continues what the sink has, or begins anew."""
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    if response.status_code == 206:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        continues = match is not None and int(match[1]) == sink.position and not encoded
        if not continues or (match and match[2] not in ("*", str(sink.size or "*"))):
            sink.rewind()
            msg = "the server answered with another range than was asked for"
            raise _Passing(msg, 0.0)
        sink.resume()
        return
    if sink.position:
        sink.rewind()
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and not encoded and sink.size not in (None, int(length)):
        msg = f"the server offers {length} bytes, {sink.size} were published"
        raise SourceError(msg)


def _stream(response: Response, sink: Sink, deadline: float) -> None:
    for chunk in response.iter_content(BODY_CHUNK):
        sink.write(chunk)
        if time.monotonic() > deadline:
            msg = f"not finished after {TOTAL_TIMEOUT_S:.0f} s"
            raise SourceError(msg)
    if sink.size is not None and sink.position < sink.size:
        msg = f"the body ended after {sink.position} of {sink.size} bytes"
        raise _Passing(msg)


def _wait_or_give_up(failure: _Passing, attempt: int, deadline: float) -> None:
    delay = failure.delay
    if delay is None:
        delay = min(BACKOFF_S * 2**attempt, MAX_BACKOFF_S) * random.uniform(0.5, 1.5)
    if attempt + 1 >= failure.attempts or time.monotonic() + delay > deadline:
        msg = f"{failure} ({attempt + 1} attempts)"
        raise SourceError(msg) from failure
    time.sleep(delay)


def _retry_after(response: Response) -> float | None:
    """What the server asks for in seconds; a date, or too long, is left to our own backoff."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), MAX_BACKOFF_S) if value.isdigit() else None


def _reason(error: BaseException, uri: str) -> str:
    *_, root = _causes(error)
    return f"{type(error).__name__}: {root}".replace(uri, redact(uri))


def _never_connected(error: BaseException) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return any(isinstance(e, (ConnectTimeoutError, NewConnectionError)) for e in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what led to it, down to the root."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
