"""Files behind HTTP: retried when that may help, and continued where a body broke off.

What a server sends is foreign: headers are read strictly, and redirects are followed here and not
by `requests`, which reads their bodies into memory. Libraries raise much on what is no HTTP; what
is not expected here becomes a `SourceError` in `Sources.copy`, as for every source.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from .base import Sink, SourceError, cause_chain, describe_error, redact, redact_message
from .timeout import register_socket

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["Origin", "check_encoding", "copy_http", "new_session", "open_url", "parse_number"]

ATTEMPTS = 5
CONNECT_ATTEMPTS = 2
"""A server that is not there is rarely there a moment later; the next source may be."""

BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
CONNECT_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 60.0
TOTAL_TIMEOUT_S = 3600.0
MAX_REDIRECTS = 10
BODY_CHUNK = 1 << 16
"""Bytes read at once: the most that are lost where a body breaks off. Compressed ones become a
thousand times as many in memory."""

_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_NUMBER = re.compile(r"[0-9]{1,18}")


class Origin(NamedTuple):
    """What redirects may not leave: a scheme, a host and a port."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return that of a URL.

        Raises:
            ValueError: It is no URL.
        """
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return cls(
            scheme, (parts.hostname or "").rstrip("."), parts.port or _DEFAULT_PORTS.get(scheme)
        )

    def allows(self, other: Origin) -> bool:
        """Whether that is the same place, or the same host by TLS."""
        secured = Origin("https", self.host, 443)
        return other == self or (other == secured and self == Origin("http", self.host, 80))


class _TransientError(Exception):
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


def copy_http(uri: str, sink: Sink, *, allowed_origin: Origin | None = None) -> None:
    """Stream the body of a GET into `sink`, after what is there already.

    Connection errors, stalls, cut bodies and answers that may pass (429, 5xx) are retried with
    exponential backoff and jitter, and continued with a range request where the server can.

    Args:
        uri: The URL.
        sink: Where the body goes.
        allowed_origin: What redirects may not leave.

    Raises:
        SourceError: The server cannot be reached, refuses (404, 403), or fails for too long.
    """
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    with new_session() as session:
        for attempt in range(ATTEMPTS):
            try:
                _attempt(session, uri, sink, allowed_origin)
            except _TransientError as failure:
                _wait_or_give_up(failure, attempt, deadline)
            else:
                return


@cache
def _session_class() -> type[Session]:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class TrackedConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            register_socket(self.sock)

    class TrackedTLSConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            register_socket(self.sock)

    class TrackedPool(HTTPConnectionPool):
        ConnectionCls = TrackedConnection

    class TrackedTLSPool(HTTPSConnectionPool):
        ConnectionCls = TrackedTLSConnection

    pools = {"http": TrackedPool, "https": TrackedTLSPool}

    class TrackedAdapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager: Any = super().proxy_manager_for(proxy, **kwargs)
            if not proxy.lower().startswith("socks"):  # which has connections of its own
                manager.pool_classes_by_scheme = pools
            return manager

    class TrackedSession(requests.Session):
        def __init__(self) -> None:
            super().__init__()
            self.mount("http://", TrackedAdapter())
            self.mount("https://", TrackedAdapter())

        def get_redirect_target(self, resp: Response) -> None:  # noqa: ARG002 - the name is theirs
            return None

    return TrackedSession


def new_session() -> Session:
    """Return a session for `open_url`.

    Its connections end with the time of the work that opened them (see `register_socket`). It
    leaves redirects alone: even where `requests` follows none, it reads the body of the first.
    """
    return _session_class()()


def open_url(
    session: Session,
    url: str,
    headers: Mapping[str, str],
    timeouts: tuple[float, float],
    allowed_origin: Origin | None = None,
) -> Response:
    """Return the answer to a GET, its body unread, after redirects.

    A redirect leads to HTTP or HTTPS, never from HTTPS to HTTP. Its body is not read.

    Args:
        session: Sends the requests; of `new_session`.
        url: The URL.
        headers: Headers of every request.
        timeouts: Seconds of a connection, and between two pieces of an answer.
        allowed_origin: What redirects may not leave.

    Raises:
        SourceError: A redirect leads where it may not, or there are too many.
    """
    for _ in range(MAX_REDIRECTS + 1):
        response = session.get(
            url, stream=True, timeout=timeouts, headers={**headers}, allow_redirects=False
        )
        if not response.is_redirect:
            return response
        response.close()
        url = _redirect_target(url, response.headers["Location"].encode("latin-1"), allowed_origin)
    msg = f"more than {MAX_REDIRECTS} redirects"
    raise SourceError(msg)


def parse_number(header: str | None) -> int | None:
    """Return the number that a header holds; None where it holds none, or one beyond any size."""
    found = _NUMBER.fullmatch(header or "")
    return int(found[0]) if found else None


def check_encoding(response: Response) -> None:
    """See to it that a body is compressed once at most, and in a way that unpacks piece by piece.

    Raises:
        SourceError: It is not.
    """
    encoding = response.headers.get("Content-Encoding", "")
    if encoding.strip().lower() not in _ENCODINGS:
        msg = f"the server sends Content-Encoding {encoding!r}, which was not asked for"
        raise SourceError(msg)


def _redirect_target(url: str, location: bytes, allowed_origin: Origin | None) -> str:
    """Where a redirect leads, with the user and password of the URL that is on the same host."""
    try:
        target = urljoin(url, location.decode())
        before, after = Origin.of(url), Origin.of(target)
    except ValueError as error:  # of bytes that are no UTF-8, too
        shown = redact_message(repr(location[:200])[1:], url)
        msg = f"it redirects to {shown}, which is no URL"
        raise SourceError(msg) from error
    if after.scheme not in _DEFAULT_PORTS or (before.scheme, after.scheme) == ("https", "http"):
        msg = f"it redirects to {redact(target)}: only http: and https: are followed, and not "
        raise SourceError(msg + "from https: to http:")
    if allowed_origin is not None and not allowed_origin.allows(after):
        msg = f"it redirects to {redact(target)}, away from {allowed_origin.scheme}://{allowed_origin.host}"
        raise SourceError(msg)
    return _with_credentials(urlsplit(url), urlsplit(target)) if after == before else target


def _with_credentials(before: SplitResult, after: SplitResult) -> str:
    user = before.netloc.rpartition("@")[0]
    if not user or "@" in after.netloc:
        return after.geturl()
    return after._replace(netloc=f"{user}@{after.netloc}").geturl()


def _attempt(session: Session, uri: str, sink: Sink, allowed_origin: Origin | None) -> None:
    import requests

    headers = {"Accept-Encoding": "identity"}
    if sink.position:
        headers["Range"] = f"bytes={sink.position}-"
    timeouts = (CONNECT_TIMEOUT_S, STALL_TIMEOUT_S)
    try:
        with open_url(session, uri, headers, timeouts, allowed_origin) as response:
            _check_status(response, sink, uri)
            check_encoding(response)
            announced_size = _position_sink(response, sink)
            _copy_body(response, sink, announced_size)
    except requests.exceptions.SSLError as error:  # a wrong certificate stays wrong
        raise SourceError(describe_error(error, uri)) from error
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        attempts = CONNECT_ATTEMPTS if _never_connected(error) else ATTEMPTS
        raise _TransientError(describe_error(error, uri), attempts=attempts) from error


def _check_status(response: Response, sink: Sink, uri: str) -> None:
    status = redact_message(f"HTTP {response.status_code} {response.reason or ''}".strip(), uri)
    if response.status_code in _TRANSIENT_STATUSES:
        raise _TransientError(status, _retry_after(response))
    if response.status_code == 416:
        sink.rewind()
        raise _TransientError(status, 0.0)
    if response.status_code not in (200, 206):
        raise SourceError(status)


def _position_sink(response: Response, sink: Sink) -> int | None:
    """See to it that the body continues what the sink has, or begins anew.

    Returns:
        How many bytes are there after the body, where that is said.
    """
    is_encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    length = None if is_encoded else parse_number(response.headers.get("Content-Length"))
    if response.status_code == 206:
        if is_encoded or not _continues_sink(response, sink):
            sink.rewind()
            msg = "the server answered with another range than was asked for"
            raise _TransientError(msg, 0.0)
        sink.resume()
        return None if length is None else sink.position + length
    if sink.position:
        sink.rewind()
    if length is not None and sink.size not in (None, length):
        msg = f"the server offers {length} bytes, {sink.size} were published"
        raise SourceError(msg)
    return length


def _continues_sink(response: Response, sink: Sink) -> bool:
    """Whether a part begins where the sink ends; where its size is not known, to the very end."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != sink.position:
        return False
    total = parse_number(match[3])
    if sink.size is None:
        return total == int(match[2]) + 1
    return total in (None, sink.size)


def _copy_body(response: Response, sink: Sink, announced_size: int | None) -> None:
    for chunk in response.iter_content(BODY_CHUNK):
        sink.write(chunk)
    expected = announced_size if sink.size is None else sink.size
    if expected is not None and sink.position < expected:
        msg = f"the body ended after {sink.position} of {expected} bytes"
        raise _TransientError(msg)


def _wait_or_give_up(failure: _TransientError, attempt: int, deadline: float) -> None:
    delay = failure.delay
    if delay is None:
        delay = min(BACKOFF_S * 2**attempt, MAX_BACKOFF_S) * random.uniform(0.5, 1.5)
    if attempt + 1 >= failure.attempts or time.monotonic() + delay > deadline:
        msg = f"{failure} ({attempt + 1} attempts)"
        raise SourceError(msg) from failure
    time.sleep(delay)


def _retry_after(response: Response) -> float | None:
    """What the server asks for in seconds; a date, or no number, is left to our own backoff."""
    seconds = parse_number(response.headers.get("Retry-After"))
    return None if seconds is None else min(float(seconds), MAX_BACKOFF_S)


def _never_connected(error: BaseException) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return any(isinstance(e, (ConnectTimeoutError, NewConnectionError)) for e in cause_chain(error))
