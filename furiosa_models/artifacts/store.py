"""The store: a content-addressed cache of verified files.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
objects/<algorithm>/<first two digits>/<digest>   verified bytes, read-only
derived/<first two digits>/<key>                  digest of what was built from objects
locks/                                            one lock file per object being fetched
unreachable/                                      when an artifact was last out of reach
```

A file becomes visible under its name by an atomic rename, and only after its size and hash were
checked: no reader ever sees half a file, or a wrong one. `objects` of one machine can serve as
`FURIOSA_MODELS_MIRROR` of another.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from ..errors import ArtifactCorrupted, ArtifactError, ArtifactUnavailable
from . import settings
from .descriptor import File
from .progress import Bar, progress_bar
from .sources import SourceError, Sources, open_sources

__all__ = ["Store"]

UNREACHABLE_FOR_S = 3600.0
_READ_ONLY = 0o444


class Store:
    """A cache folder.

    Args:
        root: The folder; `FURIOSA_MODELS_CACHE_HOME` by default. Nothing is touched before the
            first fetch.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else settings.cache_home()

    def path(self, file: File) -> Path:
        """Where the file's verified bytes are, or would be."""
        return self.root / "objects" / _key(file.algorithm, file.digest)

    def has(self, file: File) -> bool:
        """Whether the file is in the store."""
        return self.path(file).is_file()

    def fetch(self, files: Iterable[File]) -> dict[str, Path]:
        """Paths, by file name, of verified files, fetched where they are not in the store.

        Raises:
            ArtifactUnavailable: No source could deliver a file; names each one and its reason.
            ArtifactCorrupted: No source delivered the bytes that were published.
        """
        wanted = list(files)
        missing = [file for file in wanted if not self.has(file)]
        if missing:
            with open_sources() as sources:
                for file in missing:
                    self._fetch(file, sources)
        return {file.name: self.path(file) for file in wanted}

    def derive(self, key: str, build: Callable[[], bytes]) -> Path:
        """Path of what `build` makes, built once and kept under `key`.

        Args:
            key: Hex digest over everything that the result depends on.
            build: Makes the bytes.
        """
        if (path := self.derived(key)) is not None:
            return path
        with self._lock(key):
            if (path := self.derived(key)) is not None:
                return path
            data = build()
            digest = hashlib.sha256(data).hexdigest()
            path = self.root / "objects" / _key("sha256", digest)
            self._write(path, data)
            self._write(self._note(key), digest.encode())
        return path

    def derived(self, key: str) -> Path | None:
        """Path of what was built under `key` before, if it is there."""
        try:
            path = self.root / "objects" / _key("sha256", self._note(key).read_text())
        except OSError:
            return None
        return path if path.is_file() else None

    def was_unreachable(self, files: Iterable[File]) -> bool:
        """Whether a file was out of reach within the last hour (`UNREACHABLE_FOR_S`)."""
        return any(self._age(file) < UNREACHABLE_FOR_S for file in files)

    def note_unreachable(self, files: Iterable[File]) -> None:
        """Remember that these files are out of reach now."""
        with suppress(OSError):  # a memory that saves time, not a promise
            for file in files:
                mark = self.root / "unreachable" / file.digest
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()

    def _age(self, file: File) -> float:
        try:
            return time.time() - (self.root / "unreachable" / file.digest).stat().st_mtime
        except OSError:
            return float("inf")

    def _note(self, key: str) -> Path:
        return self.root / "derived" / key[:2] / key

    def _lock(self, key: str) -> FileLock:
        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(self.root, error) from error
        return FileLock(folder / f"{key}.lock")

    def _fetch(self, file: File, sources: Sources) -> None:
        with self._lock(file.digest):
            if self.has(file):  # another process was faster
                return
            failures: list[str] = []
            corrupted = False
            for uri in _candidates(file):
                try:
                    self._fetch_from(uri, file, sources)
                except SourceError as error:
                    failures.append(f"{uri}: {error}")
                except ArtifactCorrupted as error:
                    failures.append(f"{uri}: {error}")
                    corrupted = True
                else:
                    return
        raise _failure(file, failures, corrupted=corrupted)

    def _fetch_from(self, uri: str, file: File, sources: Sources) -> None:
        with self._temporary() as temporary, progress_bar(file.name, file.size) as bar:
            sink = _VerifyingSink(temporary, file, bar)
            sources.copy(uri, sink)
            sink.verify()
            temporary.commit(self.path(file))

    def _write(self, path: Path, data: bytes) -> None:
        with self._temporary() as temporary:
            temporary.write(data)
            temporary.commit(path)

    def _temporary(self) -> _TemporaryFile:
        try:
            return _TemporaryFile(self.root / "objects")
        except OSError as error:
            raise _not_writable(self.root, error) from error


class _TemporaryFile:
    """A file that becomes visible under its name whole, or not at all."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".part-", dir=folder)
        self._file = os.fdopen(descriptor, "wb")
        self._path = Path(name)

    def __enter__(self) -> _TemporaryFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def commit(self, path: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.chmod(_READ_ONLY)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(path)


class _VerifyingSink:
    """Hashes what it passes on, and refuses more bytes than were published."""

    def __init__(self, target: _TemporaryFile, file: File, bar: Bar) -> None:
        self._target = target
        self._file = file
        self._bar = bar
        self._hash = hashlib.new(file.algorithm, usedforsecurity=file.algorithm == "sha256")
        self._size = 0

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._file.size:
            msg = f"more than the published {self._file.size} bytes"
            raise ArtifactCorrupted(msg)
        self._hash.update(data)
        self._target.write(data)
        self._bar.update(len(data))

    def verify(self) -> None:
        if self._size != self._file.size:
            msg = f"expected {self._file.size} bytes, got {self._size}"
            raise ArtifactCorrupted(msg)
        if (digest := self._hash.hexdigest()) != self._file.digest:
            msg = f"expected {self._file.algorithm} {self._file.digest}, got {digest}"
            raise ArtifactCorrupted(msg)


def _candidates(file: File) -> list[str]:
    mirror = settings.mirror()
    mirrored = [f"{mirror}/{_key(file.algorithm, file.digest)}"] if mirror else []
    return [*mirrored, *file.sources]


def _key(algorithm: str, digest: str) -> str:
    return f"{algorithm}/{digest[:2]}/{digest}"


def _failure(file: File, failures: list[str], *, corrupted: bool) -> ArtifactError:
    reasons = "\n  ".join(failures)
    if corrupted:
        msg = (
            f"{file.name}: no source delivered the published bytes; nothing was kept.\n"
            f"  {reasons}\nCheck the network path (a proxy may answer in the server's place), or "
            "set FURIOSA_MODELS_MIRROR to a place that has the right file."
        )
        return ArtifactCorrupted(msg)
    msg = (
        f"{file.name} ({file.size} bytes) is out of reach; every source was tried:\n  {reasons}\n"
        "Check the network, or set FURIOSA_MODELS_MIRROR to a folder or URL that has the file."
    )
    return ArtifactUnavailable(msg)


def _not_writable(root: Path, error: OSError) -> ArtifactError:
    msg = (
        f"the cache folder {root} cannot be written ({error.strerror or error}): set "
        "FURIOSA_MODELS_CACHE_HOME to a folder that can"
    )
    return ArtifactUnavailable(msg)
