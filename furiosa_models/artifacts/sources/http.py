"""Download files over HTTP, with retries and resumption.

Servers are not trusted: headers are parsed strictly, and redirects are followed here rather than by
`requests`, which would read the bodies of redirects into memory. `Sources.copy` converts any
unexpected exception into a `SourceError`.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from .base import Sink, SourceError, cause_chain, describe_error, redact, redact_message
from .timeout import register_socket

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = [
    "TRANSIENT_STATUSES",
    "Origin",
    "TransientError",
    "Version",
    "check_encoding",
    "connection_errors",
    "copy_http",
    "new_session",
    "open_url",
    "parse_number",
    "retried",
    "retry_after",
]

_T = TypeVar("_T")

ATTEMPTS = 5
CONNECT_ATTEMPTS = 2
"""An unreachable server rarely comes back within seconds; the next source may work."""

BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
CONNECT_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 60.0
TOTAL_TIMEOUT_S = 3600.0
MAX_REDIRECTS = 10
BODY_CHUNK = 1 << 16
"""Bytes read at once. At most so many are lost if the connection breaks. They may expand by a
factor of a thousand when decompressed."""

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_NUMBER = re.compile(r"[0-9]{1,18}")


class Origin(NamedTuple):
    """Scheme, host and port that redirects must not leave."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of a URL.

        Raises:
            ValueError: The URL is malformed.
        """
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return cls(
            scheme, (parts.hostname or "").rstrip("."), parts.port or _DEFAULT_PORTS.get(scheme)
        )

    def allows(self, other: Origin) -> bool:
        """Return whether a redirect may lead to `other`: the same origin, or its host over TLS."""
        secured = Origin("https", self.host, 443)
        return other == self or (other == secured and self == Origin("http", self.host, 80))


class Version:
    """The version of a file that a download began with, by which its pieces are recognized.

    Args:
        etag: Its strong ETag, or None.

    Attributes:
        etag: Its strong ETag, or None.
        size: Its size in bytes, or None if unknown.
        headers: Headers of the latest response.
    """

    def __init__(self, etag: str | None = None) -> None:
        self.etag = etag
        self.size: int | None = None
        self.headers: Mapping[str, str] = {}

    def note(self, response: Response, sink: Sink) -> None:
        """Record the version of a response; check that a partial one continues the earlier pieces.

        Raises:
            SourceError: The response does not say where the file ends.
            TransientError: It is another version; the sink was rewound.
        """
        etag = response.headers.get("ETag", "")
        etag = "" if etag.startswith("W/") else etag
        if response.status_code == 206 and (not etag or etag != self.etag):
            sink.rewind()
            self.etag = None
            msg = "the file has changed since the download began"
            raise TransientError(msg, 0.0)
        if response.status_code == 200:
            self.size = parse_number(response.headers.get("Content-Length"))
            is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
            if self.size is None and not is_chunked:
                msg = "the server does not say how long the file is, so that it may be incomplete"
                raise SourceError(msg)
        self.etag, self.headers = etag or None, response.headers


class TransientError(Exception):
    """A failure that may go away on retry.

    Attributes:
        delay: Seconds that the server asked to wait, or None.
        attempts: Maximum number of attempts.
    """

    def __init__(
        self, reason: str, delay: float | None = None, attempts: int | None = None
    ) -> None:
        super().__init__(reason)
        self.delay = delay
        self.attempts = attempts or ATTEMPTS


def copy_http(
    uri: str, sink: Sink, *, allowed_origin: Origin | None = None, version: Version | None = None
) -> None:
    """Stream the body of a GET request into `sink`, after the bytes that it already holds.

    Connection errors, stalls, truncated bodies and transient statuses (429, 5xx) are retried with
    exponential backoff and jitter, and resumed with a range request if the server supports it.

    Args:
        uri: The URL.
        sink: Destination of the body.
        allowed_origin: Origin that redirects must not leave; None allows any.
        version: Version of the bytes that the sink already holds, for a file without a known hash:
            bytes of another version are never appended to them.

    Raises:
        SourceError: The server cannot be reached, refuses (404, 403), or keeps failing.
    """
    with new_session() as session:
        retried(lambda: _attempt(session, uri, sink, allowed_origin, version))


def retried(attempt: Callable[[], _T]) -> _T:
    """Return what a function returns; call it again, with increasing pauses, if it may help.

    Args:
        attempt: The function. A `TransientError` of it means that another call may succeed.

    Raises:
        SourceError: It failed too often; the cause is its last `TransientError`.
    """
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    count = 0
    while True:
        try:
            return attempt()
        except TransientError as failure:
            _wait_or_give_up(failure, count, deadline)
        count += 1


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
            if not proxy.lower().startswith("socks"):  # SOCKS has its own connection classes
                manager.pool_classes_by_scheme = pools
            return manager

    class TrackedSession(requests.Session):
        def __init__(self) -> None:
            super().__init__()
            self.mount("http://", TrackedAdapter())
            self.mount("https://", TrackedAdapter())

        def get_redirect_target(self, resp: Response) -> None:  # noqa: ARG002 - name fixed by requests
            return None

    return TrackedSession


def new_session() -> Session:
    """Return a session for `open_url`.

    Its connections are closed when the job that opened them times out (see `register_socket`). It
    does not follow redirects: even with redirects disabled, `requests` reads the body of the first.
    """
    return _session_class()()


def open_url(
    session: Session,
    url: str,
    headers: Mapping[str, str],
    timeouts: tuple[float, float],
    allowed_origin: Origin | None = None,
) -> Response:
    """Send a GET request, follow redirects, and return the response with its body unread.

    Redirects may lead to HTTP or HTTPS, but not from HTTPS to HTTP. Their bodies are not read.

    Args:
        session: A session of `new_session`.
        url: The URL.
        headers: Headers of every request.
        timeouts: Connect timeout and read timeout, in seconds.
        allowed_origin: Origin that redirects must not leave; None allows any.

    Raises:
        SourceError: A redirect is not allowed, or there are too many.
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
    """Return the non-negative integer in a header; None if missing, malformed or too large."""
    found = _NUMBER.fullmatch(header or "")
    return int(found[0]) if found else None


def check_encoding(response: Response) -> None:
    """Check that a body has at most one content encoding, which can be decoded as a stream.

    Raises:
        SourceError: The encoding is unsupported.
    """
    encoding = response.headers.get("Content-Encoding", "")
    if encoding.strip().lower() not in _ENCODINGS:
        msg = f"the server sent Content-Encoding {encoding!r}, which was not requested"
        raise SourceError(msg)


def _redirect_target(url: str, location: bytes, allowed_origin: Origin | None) -> str:
    """Return the target URL of a redirect.

    The user and password of the URL are kept if the target has the same origin.
    """
    try:
        target = urljoin(url, location.decode())
        before, after = Origin.of(url), Origin.of(target)
    except ValueError as error:  # a malformed URL, or bytes that are not UTF-8
        shown = redact_message(repr(location[:200])[1:], url)
        msg = f"it redirects to {shown}, which is not a URL"
        raise SourceError(msg) from error
    if after.scheme not in _DEFAULT_PORTS or (before.scheme, after.scheme) == ("https", "http"):
        msg = f"it redirects to {redact(target)}: only http: and https: are followed, but not "
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


def _attempt(
    session: Session,
    uri: str,
    sink: Sink,
    allowed_origin: Origin | None,
    version: Version | None,
) -> None:
    headers = {"Accept-Encoding": "identity"}
    if sink.position and version is not None and version.etag is None:
        sink.rewind()
    if sink.position:
        headers["Range"] = f"bytes={sink.position}-"
        if version is not None and version.etag is not None:
            headers["If-Range"] = version.etag
    timeouts = (CONNECT_TIMEOUT_S, STALL_TIMEOUT_S)
    with (
        connection_errors(uri),
        open_url(session, uri, headers, timeouts, allowed_origin) as response,
    ):
        _check_status(response, sink, uri)
        check_encoding(response)
        if version is not None:
            version.note(response, sink)
        announced_size = _position_sink(response, sink)
        _copy_body(response, sink, announced_size)


@contextmanager
def connection_errors(uri: str) -> Iterator[None]:
    """Raise the connection errors of `requests` as `SourceError`, or `TransientError`."""
    import requests

    try:
        yield
    except requests.exceptions.SSLError as error:  # retrying does not help
        raise SourceError(describe_error(error, uri)) from error
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        attempts = CONNECT_ATTEMPTS if _never_connected(error) else ATTEMPTS
        raise TransientError(describe_error(error, uri), attempts=attempts) from error


def _check_status(response: Response, sink: Sink, uri: str) -> None:
    status = redact_message(f"HTTP {response.status_code} {response.reason or ''}".strip(), uri)
    if response.status_code in TRANSIENT_STATUSES:
        raise TransientError(status, retry_after(response))
    if response.status_code == 416:
        sink.rewind()
        raise TransientError(status, 0.0)
    if response.status_code not in (200, 206):
        raise SourceError(status)


def _position_sink(response: Response, sink: Sink) -> int | None:
    """Prepare the sink for the body: continue its bytes, or start again.

    Returns:
        The position after the body, or None if the response does not say it.
    """
    is_encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    length = None if is_encoded else parse_number(response.headers.get("Content-Length"))
    if response.status_code == 206:
        if is_encoded or not _continues_sink(response, sink):
            sink.rewind()
            msg = "the server sent another range than requested"
            raise TransientError(msg, 0.0)
        sink.resume()
        return None if length is None else sink.position + length
    if sink.position:
        sink.rewind()
    if length is not None and sink.size not in (None, length):
        msg = f"the server offers {length} bytes, but {sink.size} were published"
        raise SourceError(msg)
    return length


def _continues_sink(response: Response, sink: Sink) -> bool:
    """Return whether a partial response starts at the sink's end and has the expected size."""
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
        raise TransientError(msg)


def _wait_or_give_up(failure: TransientError, attempt: int, deadline: float) -> None:
    delay = failure.delay
    if delay is None:
        delay = min(BACKOFF_S * 2**attempt, MAX_BACKOFF_S) * random.uniform(0.5, 1.5)
    if attempt + 1 >= failure.attempts or time.monotonic() + delay > deadline:
        msg = f"{failure} ({attempt + 1} attempts)"
        raise SourceError(msg) from failure
    time.sleep(delay)


def retry_after(response: Response) -> float | None:
    """Return the requested delay in seconds, or None to use our own backoff."""
    seconds = parse_number(response.headers.get("Retry-After"))
    return None if seconds is None else min(float(seconds), MAX_BACKOFF_S)


def _never_connected(error: BaseException) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return any(isinstance(e, (ConnectTimeoutError, NewConnectionError)) for e in cause_chain(error))
