"""Where hubs of one's own are: folders of this machine, and object stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from .. import settings
from .._lazy import require
from ..artifacts.sources import redact
from ..artifacts.sources.base import describe_error
from ..errors import HubError
from ..output import replace_file, replacement
from ..registry.transports import Folder, Transport

__all__ = ["Place", "place_for"]

_STORES = ("s3://", "gs://")


class Place(Protocol):
    """A place that files are written to. Each file is complete or absent."""

    def read(self, path: str) -> bytes | None:
        """Return the contents of a file, or None if there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file, or replace it."""

    def copy(self, source: Path, path: str) -> None:
        """Write a file with the contents of another one."""

    def list(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder."""


class FolderPlace:
    """A folder of this machine.

    Args:
        root: The folder; it is created.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        """Return the contents of a file, or None if there is none."""
        with self._errors(path):
            file = self._root / path
            return file.read_bytes() if file.is_file() else None

    def write(self, path: str, data: bytes) -> None:
        """Write a file, or replace it."""
        replace_file(self._root / path, data)

    def copy(self, source: Path, path: str) -> None:
        """Write a file with the contents of another one."""
        with source.open("rb") as data, replacement(self._root / path) as file:
            shutil.copyfileobj(data, file)

    def list(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder."""
        with self._errors(folder):
            found = (self._root / folder).rglob("*")
            return sorted(p.relative_to(self._root).as_posix() for p in found if p.is_file())

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"{self._root / path} cannot be read: {error.strerror or error}"
            raise HubError(msg) from error


class BucketPlace:
    """A prefix of an object store, by `fsspec` and its clients, which find credentials themselves.

    Args:
        uri: `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`.

    Raises:
        ExtraRequired: The client is not installed.
        HubError: The network must not be used, or the client cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        if settings.is_offline():
            msg = f"{redact(uri)} is not asked: FURIOSA_MODELS_OFFLINE is set"
            raise HubError(msg)
        scheme = uri.partition(":")[0]
        require(
            "s3fs" if scheme == "s3" else "gcsfs", f"{scheme}:// needs a client", extra="remote"
        )
        with self._errors():
            # Listings must be fresh, to see what others push meanwhile.
            import fsspec

            fs, self._root = fsspec.core.url_to_fs(
                self._uri, use_listings_cache=False, skip_instance_cache=True
            )
            self._fs: Any = fs

    def read(self, path: str) -> bytes | None:
        """Return the contents of a file, or None if there is none."""
        with self._errors():
            try:
                data: bytes = self._fs.cat_file(f"{self._root}/{path}")
            except FileNotFoundError:
                return None
            return data

    def write(self, path: str, data: bytes) -> None:
        """Write a file, or replace it."""
        with self._errors():
            self._fs.pipe_file(f"{self._root}/{path}", data)

    def copy(self, source: Path, path: str) -> None:
        """Write a file with the contents of another one."""
        with self._errors():
            self._fs.put_file(str(source), f"{self._root}/{path}")

    def list(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder."""
        with self._errors():
            try:
                found = self._fs.find(f"{self._root}/{folder}")
            except FileNotFoundError:
                return []
            return sorted(str(path).removeprefix(f"{self._root}/") for path in found)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except HubError:
            raise
        except Exception as error:  # every client has its own exceptions
            msg = f"{redact(self._uri)}: {describe_error(error, self._uri)}"
            raise HubError(msg) from None


def place_for(transport: Transport) -> Place:
    """Return the place that a registry's transport reads.

    Raises:
        ExtraRequired: The client of an object store is not installed.
        HubError: The place is read-only, such as a web server.
    """
    if isinstance(transport, Folder):
        return FolderPlace(transport.root)
    if transport.uri.lower().startswith(_STORES):
        return BucketPlace(transport.uri)
    msg = f"{transport.name} can only be read: push to a folder, s3:// or gs://"
    raise HubError(msg)
