"""Read files of object stores and hubs through fsspec and its clients.

The clients find credentials, endpoints and regions themselves (`AWS_*`, `~/.aws`,
`GOOGLE_APPLICATION_CREDENTIALS`, `HF_TOKEN`, ...).
"""

from __future__ import annotations

import os
import re

from .base import CHUNK, Sink, SourceError, redact_message
from .http import copy_http

__all__ = ["archive_url", "copy_github", "copy_remote", "parse_github", "raw_url"]

_GITHUB = re.compile(
    r"github:(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+?)(?:@(?P<ref>[\w./-]+?))?(?:/(?P<path>.*))?"
)
_EXTRA = "pip install 'furiosa-model-zoo[remote]'"


def copy_remote(uri: str, sink: Sink) -> None:
    """Copy an object: `s3://bucket/key`, `gs://bucket/key`, `hf://owner/repo@revision/path`.

    Raises:
        SourceError: The client is not installed, or fails.
    """
    try:
        import fsspec
    except ImportError as error:
        msg = f"needs fsspec, which is not installed: {_EXTRA}"
        raise SourceError(msg) from error
    try:
        stream = fsspec.open(uri, "rb").open()
    except Exception as error:  # every client has its own exceptions
        raise _source_error(uri, error) from error
    with stream:
        while chunk := _read(uri, stream):
            sink.write(chunk)


def _read(uri: str, stream: object) -> bytes:
    try:
        data: bytes = stream.read(CHUNK)  # type: ignore[attr-defined]  # any file-like object
    except Exception as error:  # as above
        raise _source_error(uri, error) from error
    return data


def _source_error(uri: str, error: Exception) -> SourceError:
    if isinstance(error, ImportError):
        return SourceError(f"the client for {uri.partition(':')[0]}: is not installed: {_EXTRA}")
    return SourceError(redact_message(f"{type(error).__name__}: {error}", uri))


def copy_github(uri: str, sink: Sink) -> None:
    """Copy a file of a GitHub repository: `github:owner/repo@ref/path`.

    Raises:
        SourceError: The URI is malformed, or the download fails.
    """
    owner, repo, ref, path = parse_github(uri)
    copy_http(raw_url(owner, repo, ref, path), sink)


def parse_github(uri: str) -> tuple[str, str, str, str]:
    """Return owner, repository, ref and path of a `github:` URI.

    The ref defaults to `main`. A ref before a path must not contain slashes.

    Raises:
        SourceError: The URI is malformed.
    """
    match = _GITHUB.fullmatch(uri)
    if match is None:
        msg = f"{uri!r} is not of the form github:OWNER/REPO@REF/PATH"
        raise SourceError(msg)
    return match["owner"], match["repo"], match["ref"] or "main", match["path"] or ""


def raw_url(owner: str, repo: str, ref: str, path: str) -> str:
    """Return the URL of a file at a ref."""
    return f"{_github_server()}/{owner}/{repo}/raw/{ref}/{path}"


def archive_url(owner: str, repo: str, ref: str) -> str:
    """Return the URL of a zip file of the repository at a ref."""
    return f"{_github_server()}/{owner}/{repo}/archive/{ref}.zip"


def _github_server() -> str:
    """Return the GitHub server: `GITHUB_SERVER_URL`, as GitHub's own tools do, or the default."""
    return os.environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
