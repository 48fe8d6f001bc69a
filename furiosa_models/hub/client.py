"""Requests to the hub of Focoos: JSON, with the key, and with errors that say what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlencode

from .. import settings
from ..artifacts.sources import Origin, SourceError, redact
from ..artifacts.sources import http as transport
from ..artifacts.sources.base import describe_error
from ..artifacts.sources.timeout import run_with_timeout
from ..errors import HubError
from ..progress import log_warning
from .key import ApiKey, find_key

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["ApiClient"]

logger = logging.getLogger(__name__)

_LOCAL = ("127.0.0.1", "::1", "localhost")
_MAX_BYTES = 64 << 20
_MAX_SHOWN = 300
_NOT_DONE = frozenset({429, 503})
"""Statuses of requests that the server did not carry out."""

_BRIEF_S = 30.0
"""Time limit of a request that is not repeated."""

_TIMEOUT_S = 120.0
"""Time limit of a request and its repetitions. Answers are short: files take other requests."""

Repeat: TypeAlias = Literal["always", "undone", "never"]
"""When a failed request is sent again: always, if it was not carried out, or never."""

_ADVICE = {
    401: "check the API key, which is from {origin}",
    403: "check what the API key, which is from {origin}, may access",
    404: "check the reference; list_remote_models() and list_remote_datasets() show what is there",
    409: "choose another name",
    429: "wait, or ask for a higher quota",
}
_LATER = "try again later"


class _Answer(NamedTuple):
    status: int
    kind: str
    body: bytes

    @property
    def text(self) -> str:
        """Beginning of the body."""
        return " ".join(self.body[: 4 * _MAX_SHOWN].decode(errors="replace").split())[:_MAX_SHOWN]


class ApiClient:
    """A client of a hub.

    The key is sent to this host only: redirects to others are errors.

    Args:
        api_key: The key; by default that of `FOCOOS_API_KEY`, or of the key file.
        host_url: URL of the hub; by default that of `DEFAULT_HOST_URL`.

    Attributes:
        host_url: URL of the hub.

    Raises:
        HubError: There is no key or no URL, or the URL is malformed.
    """

    def __init__(self, api_key: str | ApiKey | None = None, host_url: str | None = None) -> None:
        url = (host_url or settings.focoos_host() or "").rstrip("/")
        if not url:
            msg = "the URL of the hub is unknown: pass host_url=, or set DEFAULT_HOST_URL"
            raise HubError(msg)
        try:
            self._origin = Origin.of(url)
        except ValueError as error:
            msg = f"{redact(url)!r} is not a URL: {error}"
            raise HubError(msg) from error
        if self._origin.scheme not in ("http", "https") or not self._origin.host:
            msg = f"{redact(url)!r} is not the URL of a hub: expected https://HOST/v0"
            raise HubError(msg)
        if self._origin.scheme == "http" and self._origin.host not in _LOCAL:
            log_warning(
                logger, "%s is not encrypted: the API key can be read on its way", redact(url)
            )
        self._url = url
        self._key = find_key(api_key)
        self.host_url = redact(url)

    def __repr__(self) -> str:
        return f"ApiClient({self.host_url!r})"

    def get(self, path: str, what: str) -> Any:
        """Return the JSON at a path.

        Args:
            path: Path below the URL of the hub.
            what: What is done, for messages: `list the models`.

        Raises:
            HubError: The hub refuses, fails, or does not answer with JSON.
        """
        return self._json("GET", path, what)

    def post(self, path: str, what: str, *, repeat: Repeat = "always", **options: Any) -> Any:
        """Send a POST request; return the JSON of the answer.

        Args:
            path: Path below the URL of the hub.
            what: What is done, for messages.
            repeat: When a failed request is sent again.
            options: Body (`json`, `files`) and query (`params`), as for `requests`.

        Raises:
            HubError: As for `get`.
        """
        return self._json("POST", path, what, repeat=repeat, **options)

    def patch(self, path: str, what: str, document: Any, *, repeat: Repeat = "always") -> Any:
        """Send a PATCH request with JSON; return the JSON of the answer.

        Args:
            path: Path below the URL of the hub.
            what: What is done, for messages.
            document: The JSON.
            repeat: When a failed request is sent again.

        Raises:
            HubError: As for `get`.
        """
        return self._json("PATCH", path, what, repeat=repeat, json=document)

    def check_online(self, what: str) -> None:
        """Check that the network may be used.

        Raises:
            HubError: `FURIOSA_MODELS_OFFLINE` is set.
        """
        if settings.is_offline():
            msg = f"cannot {what}: FURIOSA_MODELS_OFFLINE is set"
            raise HubError(msg)

    def _json(self, method: str, path: str, what: str, **options: Any) -> Any:
        answer = self._request(method, path, what, **options)
        if not answer.body:
            return None
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            kind = "HTML" if "html" in answer.kind.lower() else answer.kind or "no JSON"
            msg = (
                f"cannot {what}: {self.host_url} answered {kind} rather than JSON "
                f"({self._key.hide(answer.text)!r}): check the URL of the hub"
            )
            raise HubError(msg, answer.status) from None

    def _request(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, object] | None = None,
        repeat: Repeat = "always",
        **body: Any,
    ) -> _Answer:
        """Return the answer to a request, which was successful."""
        self.check_online(what)
        url = f"{self._url}/{path}" + (f"?{urlencode(params)}" if params else "")
        answers: list[_Answer] = []

        def attempt() -> _Answer:
            answers.clear()
            try:
                with transport.new_session() as session, transport.connection_errors(url):
                    answer, delay = self._send(session, method, url, body)
            except transport.TransientError as failure:
                was_sent = failure.attempts != transport.CONNECT_ATTEMPTS
                if repeat == "never" or (repeat == "undone" and was_sent):
                    raise SourceError(str(failure)) from None
                raise
            answers.append(answer)
            repeated = transport.TRANSIENT_STATUSES if repeat == "always" else _NOT_DONE
            if repeat != "never" and answer.status in repeated:
                msg = f"HTTP {answer.status}"
                raise transport.TransientError(msg, delay)
            return answer

        limit = _BRIEF_S if repeat == "never" else _TIMEOUT_S
        try:
            answer = run_with_timeout(limit, lambda: transport.retried(attempt))
        except (SourceError, TimeoutError) as error:
            if not answers:
                raise self._unreachable(what, error) from None
            answer = answers[-1]
        except Exception as error:  # of requests and urllib3, for hostile answers
            raise self._unreachable(what, describe_error(error, url)) from None
        if not 200 <= answer.status < 300:
            raise self._refused(what, answer)
        return answer

    def _send(
        self, session: Session, method: str, url: str, body: Mapping[str, Any]
    ) -> tuple[_Answer, float | None]:
        """Send one request; return its answer, and how long the server asks to wait."""
        headers = {
            "X-API-Key": self._key.reveal(),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        timeouts = (transport.CONNECT_TIMEOUT_S, transport.STALL_TIMEOUT_S)
        if method == "GET":
            response = transport.open_url(session, url, headers, timeouts, self._origin)
        else:
            response = session.request(
                method,
                url,
                headers=headers,
                timeout=timeouts,
                stream=True,
                allow_redirects=False,
                **body,
            )
        with response:
            kind = response.headers.get("Content-Type", "")
            return (
                _Answer(response.status_code, kind, _body(response)),
                transport.retry_after(response),
            )

    def _unreachable(self, what: str, reason: object) -> HubError:
        shown = self._key.hide(str(reason))
        return HubError(f"cannot {what}: {self.host_url} does not answer: {shown}")

    def _refused(self, what: str, answer: _Answer) -> HubError:
        if 300 <= answer.status < 400:
            advice = "it redirects, and the API key is not sent elsewhere: check the URL of the hub"
        else:
            advice = _ADVICE.get(answer.status, _LATER if answer.status >= 500 else "")
        text = self._key.hide(answer.text)
        told = f"cannot {what}: {self.host_url} answered {answer.status} {text}".rstrip()
        shown = f"{told}: {advice.format(origin=self._key.origin)}" if advice else told
        return HubError(shown, answer.status)


def _body(response: Response) -> bytes:
    """Return the body of a response.

    Raises:
        SourceError: It is too large, or in an unknown encoding.
    """
    transport.check_encoding(response)
    parts: list[bytes] = []
    size = 0
    for chunk in response.iter_content(transport.BODY_CHUNK):
        size += len(chunk)
        if size > _MAX_BYTES:
            msg = f"the answer is larger than {_MAX_BYTES >> 20} MiB"
            raise SourceError(msg)
        parts.append(chunk)
    return b"".join(parts)
