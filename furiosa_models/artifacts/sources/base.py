"""What every source shares: where its bytes go, and how it fails."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CHUNK", "Sink", "SourceError"]

CHUNK = 1 << 20


class Sink(Protocol):
    """Where a source writes what it reads."""

    def write(self, data: bytes) -> object:
        """Take the next bytes."""


class SourceError(Exception):
    """A source cannot deliver; the store tries the next one and reports all reasons."""
