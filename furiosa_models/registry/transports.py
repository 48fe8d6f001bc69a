"""Transports, which read the files of registries."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote
from urllib.request import url2pathname

from ..artifacts.sources import Origin, SourceError, open_sources, redact
from ..artifacts.sources.archives import raise_damaged_as
from ..artifacts.sources.remote import archive_url, parse_github, raw_url
from ..errors import ArtifactUnavailable, TransportNotFound
from .descriptor import inside
from .model_code import Checkout

__all__ = ["MAX_BYTES", "MAX_TEXT_BYTES", "Transport", "open_uri", "transport_for"]

MAX_BYTES = 2 << 30
"""Maximum size of a file and of an unpacked registry, in bytes."""

MAX_TEXT_BYTES = 16 << 20
"""Maximum size of a descriptor and of a documentation file, in bytes."""

_MAX_IN_MEMORY = 1 << 20
_REMOTE = ("https", "http", "s3", "gs", "hf")
_SCHEME = re.compile(r"(file(?=:)|[A-Za-z][\w+.-]+(?=://)):(?://)?", re.IGNORECASE)
_HTTP = re.compile(r"https?://", re.IGNORECASE)

_GITHUB_URL = re.compile(r"https?://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?(?::([\w./-]+))?/?")


class Transport(ABC):
    """Base class of readers of a registry's files.

    Attributes:
        uri: URI that the user passed.
        name: The URI without credentials, for messages.
        origin: Origin that redirects must stay in, or None if they may leave it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = redact(uri)
        self.origin: Origin | None = None

    @abstractmethod
    def locate(self, location: str) -> str:
        """Return the URI, or the path on this machine, of a file.

        Args:
            location: Path in the registry, or a URL, as an entry states it.

        Raises:
            ArtifactUnavailable: The location is outside what the registry may access.
        """

    def read(self, location: str) -> bytes:
        """Return the bytes of a text file: a descriptor or documentation.

        Raises:
            ArtifactUnavailable: The file cannot be read or is too large.
        """
        with self.open(location, limit=MAX_TEXT_BYTES) as file:
            return file.read()

    @contextmanager
    def open(self, location: str, *, limit: int = MAX_BYTES) -> Iterator[IO[bytes]]:
        """Open a file for reading.

        Args:
            location: Path in the registry, or a URL, as an entry states it.
            limit: Maximum size in bytes.

        Raises:
            ArtifactUnavailable: The file cannot be read or is too large.
        """
        with open_uri(self.locate(location), limit=limit, origin=self.origin) as file:
            yield file

    @contextmanager
    def checkout(self, path: str) -> Iterator[Checkout]:
        """Yield a folder with the file at `path`; its `fetch` adds further files on request."""
        with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:

            def fetch(path: str) -> None:
                target = Path(folder, *PurePosixPath(path).parts)
                if not target.resolve().is_relative_to(Path(folder).resolve()):
                    msg = f"{path!r} is outside the registry {self.name}"
                    raise ArtifactUnavailable(msg)
                with self.open(path) as file:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as copy:
                        shutil.copyfileobj(file, copy)

            fetch(path)
            yield Checkout(Path(folder), fetch)


class Folder(Transport):
    """A folder of this machine. It is the user's own, so its entries may have any URL."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        try:
            self.root = Path(_path_of(uri)).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, NUL
            msg = f"{redact(uri)} is not a folder: {error}"
            raise ArtifactUnavailable(msg) from error

    def locate(self, location: str) -> str:
        return location if _SCHEME.match(location) else str(self._inside(location))

    @contextmanager
    def checkout(self, path: str) -> Iterator[Checkout]:
        self._inside(path)
        yield Checkout(self.root)

    def _inside(self, path: str) -> Path:
        """Return a path in the registry after following links; reject one that leaves it."""
        try:
            target = (self.root / path).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            msg = f"{path!r} is not a valid path: {error}"
            raise ArtifactUnavailable(msg) from error
        if not target.is_relative_to(self.root):
            msg = f"{path!r} is outside the registry {self.root}"
            raise ArtifactUnavailable(msg)
        return target


class _ForeignTransport(Transport):
    """A remote registry: it may access only its own files and URLs of its scheme and host."""

    def locate(self, location: str) -> str:
        if _SCHEME.match(location):
            if not _is_same_place(self._url(""), location):
                msg = (
                    f"{redact(location)} is outside the registry {self.name}, which may "
                    "access only its own scheme and host; if you trust that URL, pass it yourself"
                )
                raise ArtifactUnavailable(msg)
            return location
        try:
            return self._url(inside(location))
        except ValueError as error:
            msg = f"{self.name}: {error}"
            raise ArtifactUnavailable(msg) from error

    @abstractmethod
    def _url(self, path: str) -> str:
        """Return the URL of a path in the registry."""


class Remote(_ForeignTransport):
    """A registry at a URI prefix that the artifact sources support: HTTP, S3, ..."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        if _HTTP.match(uri):
            try:
                self.origin = Origin.of(uri)
            except ValueError as error:
                msg = f"{redact(uri)} is not a valid URL: {error}"
                raise ArtifactUnavailable(msg) from error

    def _url(self, path: str) -> str:
        return f"{self.uri.rstrip('/')}/{path}"


class GitHub(_ForeignTransport):
    """A GitHub repository at a ref. Redirects may leave the host, as GitHub's own ones do."""

    def __init__(self, uri: str, owner: str, repo: str, ref: str, folder: str = "") -> None:
        super().__init__(uri)
        self._place = (owner, repo, ref)
        self._folder = folder.strip("/")

    def _url(self, path: str) -> str:
        full = f"{self._folder}/{path}" if self._folder else path
        return raw_url(*self._place, full)

    @contextmanager
    def checkout(self, path: str) -> Iterator[Checkout]:  # noqa: ARG002 - always the whole repository
        with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
            with open_uri(archive_url(*self._place)) as file:
                root = _unpack(file, Path(folder), self.name)
            yield Checkout(root / self._folder)


def transport_for(uri: str) -> Transport:
    """Return the transport for a registry's URI.

    Args:
        uri: A folder; `file:///...` or, as in furiosa-registry, `file://` and a relative folder;
            `https://...`; `https://github.com/owner/repo[:ref]`; `github:owner/repo@ref[/folder]`;
            `s3://...`; `gs://...`; or `hf://...`.

    Raises:
        ArtifactUnavailable: The URI is malformed.
        TransportNotFound: No transport supports the scheme.
    """
    if match := _GITHUB_URL.fullmatch(uri):
        return GitHub(uri, match[1], match[2], match[3] or "main")
    if uri.startswith("github:"):
        try:
            return GitHub(uri, *parse_github(uri))
        except SourceError as error:
            raise ArtifactUnavailable(str(error)) from error
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme[1].lower() == "file":
        return Folder(uri)
    if scheme[1].lower() in _REMOTE:
        return Remote(uri)
    msg = (
        f"unsupported registry URI {redact(uri)}: expected a folder, or a URI that begins with "
        f"file:, github: or {', '.join(f'{name}://' for name in _REMOTE)}"
    )
    raise TransportNotFound(msg)


def _path_of(uri: str) -> str:
    """Return the path of a folder on this machine from a path or a `file:` URI.

    As in furiosa-registry, what follows `file://` without a third slash is a path relative to the
    working directory. In standard URIs it is a host; `localhost` is accepted as one.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return uri
    rest = uri[scheme.end() :]
    if rest.startswith("localhost/") and not Path("localhost").is_dir():
        rest = rest.removeprefix("localhost")
    return rest if Path(rest).is_dir() else url2pathname(rest)


class _LimitedSink:
    """A sink with a maximum size."""

    size = None  # unknown in advance

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._limit = limit

    @property
    def position(self) -> int:
        return self._file.tell()

    def write(self, data: bytes) -> None:
        if self.position + len(data) > self._limit:
            msg = f"expected at most {self._limit} bytes, got more"
            raise SourceError(msg)
        self._file.write(data)

    def resume(self) -> None:
        """Do nothing."""

    def rewind(self) -> None:
        """Discard the bytes written so far."""
        self._file.seek(0)
        self._file.truncate()


def _is_same_place(own: str, other: str) -> bool:
    try:
        return Origin.of(own).allows(Origin.of(other))
    except ValueError:
        return False


@contextmanager
def open_uri(
    uri: str, *, limit: int = MAX_BYTES, origin: Origin | None = None
) -> Iterator[IO[bytes]]:
    """Copy the bytes at a URI of any source into a temporary file and yield it.

    Args:
        uri: URI of the file.
        limit: Maximum size in bytes.
        origin: Origin that redirects must stay in, or None.

    Raises:
        ArtifactUnavailable: The file is not available or is larger than the limit.
    """
    with tempfile.SpooledTemporaryFile(max_size=_MAX_IN_MEMORY) as file:
        try:
            with open_sources(origin) as sources:
                sources.copy(uri, _LimitedSink(file, limit))
        except SourceError as error:
            msg = f"{redact(uri)}: {error}"
            raise ArtifactUnavailable(
                msg
            ) from None  # the message has the reason; the cause may have a password
        file.seek(0)
        yield file


def _unpack(file: IO[bytes], folder: Path, name: str) -> Path:
    """Unpack a zip archive with one top folder, and return that folder."""
    with (
        raise_damaged_as(ArtifactUnavailable, f"the archive of {name}"),
        zipfile.ZipFile(file) as archive,
    ):
        members = [info for info in archive.infolist() if not info.is_dir()]
        if sum(info.file_size for info in members) > MAX_BYTES:
            msg = f"the archive of {name} unpacks to more than the maximum of {MAX_BYTES} bytes"
            raise ArtifactUnavailable(msg)
        tops = {_extract(archive, info, folder) for info in members}
    if len(tops) != 1:
        msg = f"the archive of {name}: expected one top folder, got {sorted(tops)[:3]}"
        raise ArtifactUnavailable(msg)
    return folder / tops.pop()


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> str:
    """Write one regular file below `folder`; return the first component of its path."""
    parts = PurePosixPath(unquote(info.filename)).parts
    is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
    if ".." in parts or PurePosixPath(*parts).is_absolute() or "\\" in info.filename or is_link:
        msg = f"{info.filename!r} is not allowed: expected a regular file with a relative path"
        raise zipfile.BadZipFile(msg)
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    return parts[0]
