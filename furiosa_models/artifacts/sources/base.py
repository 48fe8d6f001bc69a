"""What every source shares: where its bytes go, how it fails, and what it must not say."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

__all__ = ["CHUNK", "Sink", "SourceError", "redact"]

CHUNK = 1 << 20


class Sink(Protocol):
    """Where a source writes what it reads."""

    @property
    def position(self) -> int:
        """How many bytes are there."""

    @property
    def size(self) -> int | None:
        """How many bytes there are to be, where that is known."""

    def write(self, data: bytes) -> object:
        """Take the next bytes."""

    def resume(self) -> None:
        """Learn that what comes next continues what is there."""

    def rewind(self) -> None:
        """Drop what is there, to begin again."""


class SourceError(Exception):
    """A source cannot deliver; the store tries the next one and reports all reasons."""


def redact(uri: str) -> str:
    """The URI without credentials: no user, no password, no signed query."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return uri
    host = parts.netloc.rpartition("@")[2]
    query = "..." if parts.query else ""
    return urlunsplit((parts.scheme, host, parts.path, query, ""))
