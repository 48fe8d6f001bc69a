"""What is built of objects of the store when it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..enums import Format

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Built"]


class Built:
    """Bytes that are built when they are needed, which with a warm cache is never.

    The store remembers their hash. What building them took is in the store, too, and so they are
    not kept.

    Args:
        store: The store.
        key: Hex digest over everything that the bytes depend on, as of `recipe_key`.
        build: Makes the bytes.
        format: Format of the bytes.

    Attributes:
        key: The key.
        format: Format of the bytes.
    """

    def __init__(
        self, store: Store, key: str, build: Callable[[], bytes], format: Format = Format.ONNX
    ) -> None:
        self.key = key
        self.format = format
        self._store = store
        self._build = build
        self._digest: str | None = None
        self._fresh: bytes | None = None

    def __repr__(self) -> str:
        return f"<{self.format.value} of {self.key[:12]}>"

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex; they are built if it is not known yet."""
        if self._digest is None:
            self._digest = self._store.digest(self.key)
        if self._digest is None:
            with self._store.lock(self.key):
                self._digest = self._store.digest(self.key)  # another process may be faster
                if self._digest is None:
                    self._fresh = self._made()
        return self._digest or ""

    def read_bytes(self) -> bytes:
        """Return the bytes, which are built unless `digest` has just built them."""
        if self._fresh is not None:
            return self._fresh
        kept = self._store.derived(self.key)
        return self._made() if kept is None else kept.read_bytes()

    def check(self) -> bool:
        """Build the bytes; return whether they have the noted hash, which is corrected if not."""
        noted = self._store.digest(self.key)
        return hashlib.sha256(self._made()).hexdigest() == noted

    def take(self) -> bytes:
        """Return the bytes as `read_bytes` does, and free the memory of what `digest` built."""
        data, self._fresh = self.read_bytes(), None
        return data

    def _made(self) -> bytes:
        """The bytes, newly built; the store learns their hash if it knows none, or another."""
        data = self._build()
        digest = hashlib.sha256(data).hexdigest()
        if digest != self._store.digest(self.key):
            self._store.note(self.key, digest)
        self._digest = digest
        return data
