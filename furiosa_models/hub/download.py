"""Downloads of files whose hash is not known in advance, resumed and checked as far as possible."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..artifacts.sources import SourceError, redact
from ..artifacts.sources import http as transport
from ..artifacts.sources.base import describe_error
from ..artifacts.sources.http import Version
from ..artifacts.sources.timeout import ClosableSink, run_with_timeout
from ..artifacts.store import hash_file
from ..errors import CacheNotWritable, HubError
from ..progress import Bar, progress_bar
from .client import ApiClient

__all__ = ["download", "download_uri"]

MAX_BYTES = 8 << 30

_DIGESTS = {
    "repr-digest": ("sha256", "sha-256=:", ":"),
    "x-amz-checksum-sha256": ("sha256", "", ""),
    "x-goog-hash": ("md5", "md5=", ""),
}
"""Headers that state the hash of a whole file: algorithm, and what is before and after it."""


class _Partial:
    """An incomplete download; a sink for HTTP.

    Its strong ETag is kept in a file beside it, so that a later process continues only the same
    version of the file.
    """

    size = None  # unknown in advance

    def __init__(self, path: Path, bar: Bar) -> None:
        self._etag_file = path.with_name(f"{path.name}.etag")
        self._bar = bar
        self.version = Version(_read_etag(self._etag_file))
        self._kept = self.version.etag
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file: BinaryIO = os.fdopen(os.open(path, flags, 0o600), "r+b")
        self.position = self._file.seek(0, os.SEEK_END)
        bar.update(self.position)

    def write(self, data: bytes) -> None:
        """Append bytes; record their version first."""
        if self.version.etag != self._kept:
            self._kept = self.version.etag
            self._etag_file.write_text(self._kept or "", encoding="utf-8")
        if self.position + len(data) > MAX_BYTES:
            msg = f"the file is larger than {MAX_BYTES >> 30} GiB"
            raise SourceError(msg)
        self._file.write(data)
        self.position += len(data)
        self._bar.update(len(data))

    def resume(self) -> None:
        """Do nothing: `Version` has checked that the next bytes continue these."""

    def rewind(self) -> None:
        """Discard the bytes written so far."""
        self._file.seek(0)
        self._file.truncate()
        self._bar.update(-self.position)
        self.position = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def download(uri: str, partial: Path, what: str) -> Iterator[Path]:
    """Yield the complete file at a URL, which is removed afterwards.

    A download that an earlier process began is continued if its server has the same version.

    Args:
        uri: The URL. Errors show it without its query.
        partial: Path for the bytes; if the download fails, they stay there for the next attempt.
        what: What is done, for messages.

    Raises:
        HubError: The file cannot be downloaded, or its hash is wrong.
        CacheNotWritable: It cannot be written.
    """
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        headers = _receive(uri, partial, what)
    except OSError as error:
        msg = f"{partial} cannot be written: {error.strerror or error}"
        raise CacheNotWritable(msg) from error
    try:
        _check_hash(partial, headers, what)
        yield partial
    finally:
        for path in (partial, partial.with_name(f"{partial.name}.etag")):
            path.unlink(missing_ok=True)


def download_uri(client: ApiClient, path: str, what: str) -> str:
    """Return the address that the hub gives for a file. It is read without the API key.

    Args:
        client: Client of the hub.
        path: Path below the URL of the hub.
        what: What is done, for messages.

    Raises:
        HubError: The hub fails, or gives no address.
    """
    found = client.get(path, what)
    uri = found.get("download_uri") if isinstance(found, Mapping) else None
    if not isinstance(uri, str) or not uri.lower().startswith(("http://", "https://")):
        msg = f"cannot {what}: expected a download_uri, got {str(found)[:60]!r}"
        raise HubError(msg)
    return uri


def _receive(uri: str, path: Path, what: str) -> Mapping[str, str]:
    """Download a file; return the headers of the last response."""
    with progress_bar(what, None) as bar:
        sink = _Partial(path, bar)
        guarded = ClosableSink(sink)
        try:
            run_with_timeout(
                transport.TOTAL_TIMEOUT_S,
                lambda: transport.copy_http(uri, guarded, version=sink.version),
            )
        except Exception as error:
            if isinstance(guarded.failure, OSError):
                raise guarded.failure from None
            reason = error if isinstance(error, SourceError) else describe_error(error, uri)
            msg = f"cannot {what}: {redact(uri)}: {reason}; try again, and it continues"
            raise HubError(msg) from None
        finally:
            guarded.close()
            sink.close()
    return sink.version.headers


def _check_hash(path: Path, headers: Mapping[str, str], what: str) -> None:
    """Compare the hash of a file with those that its server states.

    Raises:
        HubError: They differ.
    """
    for algorithm, stated in _stated_hashes(headers):
        found = hash_file(path, algorithm)
        if found != stated:
            msg = (
                f"cannot {what}: the server states the {algorithm} {stated}, but the downloaded "
                f"file has {found}: try again"
            )
            raise HubError(msg)


def _stated_hashes(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the algorithms and hashes in headers, in hex."""
    for name, (algorithm, before, after) in _DIGESTS.items():
        for value in headers.get(name, "").split(","):
            text = value.strip()
            if text.startswith(before):
                with suppress(ValueError):  # of parts, or in another form
                    digest = base64.b64decode(
                        text.removeprefix(before).removesuffix(after), validate=True
                    )
                    if len(digest) == hashlib.new(algorithm, usedforsecurity=False).digest_size:
                        yield algorithm, digest.hex()


def _read_etag(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") or None
    except (OSError, ValueError):
        return None
