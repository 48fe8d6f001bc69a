"""Files behind HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import CHUNK, Sink, SourceError

if TYPE_CHECKING:
    from requests import Response

__all__ = ["copy_http"]

CONNECT_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 60.0
_WORTH_RETRYING = (429, 500, 502, 503, 504)


def copy_http(uri: str, sink: Sink) -> None:
    """Stream the body of a GET into `sink`.

    Connection errors and answers that may pass (429, 5xx) are retried with backoff; a body that
    stops half-way is not, since what was written to `sink` cannot be taken back.

    Raises:
        SourceError: The server cannot be reached, refuses, or stops half-way.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(total=3, connect=1, backoff_factor=0.5, status_forcelist=_WORTH_RETRYING)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.mount("https://", HTTPAdapter(max_retries=retry))
        try:
            _stream(
                session.get(
                    uri,
                    stream=True,
                    timeout=(CONNECT_TIMEOUT_S, STALL_TIMEOUT_S),
                    headers={"Accept-Encoding": "identity"},
                ),
                sink,
            )
        except requests.RequestException as error:
            raise SourceError(_reason(error)) from error


def _stream(response: Response, sink: Sink) -> None:
    with response:
        response.raise_for_status()
        for chunk in response.iter_content(CHUNK):
            sink.write(chunk)


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(error).__name__}: {cause}"
