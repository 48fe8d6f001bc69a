"""Fake files of the catalog, stored as if they had been fetched and verified."""

from __future__ import annotations

from furiosa_models.artifacts import File, Store
from furiosa_models.artifacts.store import file_stamp

__all__ = ["plant"]


def plant(file: File, data: bytes) -> None:
    """Store bytes in place of a file, and mark them as verified."""
    store = Store()
    path = store.path(file)
    stamp = store.root / "stamps" / file.algorithm / file.digest
    for folder in (path.parent, stamp.parent):
        folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    stamp.write_bytes(file_stamp(path))
