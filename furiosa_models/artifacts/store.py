"""The store: a content-addressed cache of verified files.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
objects/<algorithm>/<first two digits>/<digest>   verified bytes, read-only
derived/<first two digits>/<key>                  sha256 of what was built from objects
pins/<md5>                                        sha256 first seen of a file published by md5
partial/                                          what interrupted fetches left, to be continued
locks/                                            one lock file for each object being fetched
unreachable/                                      when an artifact was last out of reach
```

A file becomes visible under its name by an atomic rename, and only after its size and hash were
checked: no reader ever sees half a file, or a wrong one. `objects` of one machine can serve as
`FURIOSA_MODELS_MIRROR` of another.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from ..errors import ArtifactCorrupted, ArtifactError, ArtifactUnavailable
from . import settings
from .descriptor import File
from .locks import best_effort_lock
from .partial import Partial, write_atomically
from .progress import progress_bar
from .sources import SourceError, Sources, open_sources, redact
from .sources.base import CHUNK

__all__ = ["Store", "hash_file"]

logger = logging.getLogger(__name__)

UNREACHABLE_FOR_S = 3600.0


class Store:
    """A cache folder, with read-only ones behind it.

    Args:
        root: The folder; `FURIOSA_MODELS_CACHE_HOME` by default. Nothing is touched before the
            first fetch.
        shared: Folders of the same layout that are read and never written;
            `FURIOSA_MODELS_SHARED_CACHE` by default.
    """

    def __init__(self, root: Path | None = None, shared: Iterable[Path] | None = None) -> None:
        self.root = root if root is not None else settings.cache_home()
        self.shared = tuple(settings.shared_caches() if shared is None else shared)

    def path(self, file: File) -> Path:
        """Where the file's verified bytes are, or would be."""
        return self._object(file.algorithm, file.digest)

    def has(self, file: File) -> bool:
        """Whether the file is in the store."""
        return self.path(file).is_file()

    def fetch(self, files: Iterable[File]) -> dict[str, Path]:
        """Paths, by file name, of verified files, fetched where they are not in the store.

        Raises:
            ArtifactUnavailable: No source could deliver a file (names each one and its reason),
                or the cache cannot take it.
            ArtifactCorrupted: No source delivered the bytes that were published.
        """
        wanted = list(files)
        missing = [file for file in wanted if not self.has(file)]
        if missing:
            with open_sources() as sources:
                for file in missing:
                    self._fetch(file, sources)
        return {file.name: self.path(file) for file in wanted}

    def put(self, file: File, stream: IO[bytes]) -> Path:
        """Take a file's bytes from a stream; raises as `fetch` does."""
        with self._partial(file) as partial:
            if partial is not None:
                partial.rewind()
                while chunk := stream.read(CHUNK):
                    partial.write(chunk)
                partial.verify()
                self._commit(file, partial)
        return self.path(file)

    def derive(self, key: str, build: Callable[[], bytes]) -> Path:
        """Path of what `build` makes, built once and kept under `key`.

        Where the cache cannot be written it is kept for the life of the process.

        Args:
            key: Hex digest over everything that the result depends on.
            build: Makes the bytes.
        """
        if (path := self.derived(key)) is not None:
            return path
        with self._lock(key):
            if (path := self.derived(key)) is not None:  # another process was faster
                return path
            data = build()
            try:
                return self._keep(self.root, key, data)
            except OSError as error:
                logger.warning("%s cannot be written (%s): nothing is kept", self.root, error)
                return self._keep(self._scratch, key, data)

    def derived(self, key: str) -> Path | None:
        """Path of what was built under `key` before, if it is there."""
        for root in self._layers:
            with suppress(OSError):
                digest = (root / "derived" / key[:2] / key).read_text()
                if (path := root / "objects" / relative("sha256", digest)).is_file():
                    return path
        return None

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

    @property
    def _layers(self) -> Iterator[Path]:
        yield self.root
        yield from self.shared
        if "_scratch" in vars(self):
            yield self._scratch

    @cached_property
    def _scratch(self) -> Path:
        folder = tempfile.mkdtemp(prefix="furiosa-models-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _object(self, algorithm: str, digest: str) -> Path:
        """Path of an object in the first layer that has it; in the root if none has."""
        name = relative(algorithm, digest)
        paths = [root / "objects" / name for root in self._layers]
        return next((path for path in paths if path.is_file()), paths[0])

    def _keep(self, root: Path, key: str, data: bytes) -> Path:
        digest = hashlib.sha256(data).hexdigest()
        path = root / "objects" / relative("sha256", digest)
        write_atomically(path, data)
        write_atomically(root / "derived" / key[:2] / key, digest.encode())
        return path

    def _age(self, file: File) -> float:
        try:
            return time.time() - (self.root / "unreachable" / file.digest).stat().st_mtime
        except OSError:
            return float("inf")

    def _fetch(self, file: File, sources: Sources) -> None:
        failures: list[str] = []
        corrupted = False
        with self._partial(file) as partial:
            if partial is None:  # another process was faster
                return
            for uri in _candidates(file):
                try:
                    _receive(uri, sources, partial)
                except (SourceError, ArtifactCorrupted) as error:
                    corrupted |= isinstance(error, ArtifactCorrupted)
                    failures.append(f"{redact(uri)}: {error}")
                else:
                    self._commit(file, partial)
                    return
        raise _failure(file, failures, corrupted=corrupted)

    @contextmanager
    def _partial(self, file: File) -> Iterator[Partial | None]:
        """The file to be, locked against other processes; None if it is there by now."""
        with self._lock(file.digest) as held:
            if self.has(file):
                yield None
                return
            # Without the lock nobody else may write into the same partial file.
            name = file.digest if held else f"{file.digest}-{uuid.uuid4().hex}"
            with progress_bar(file.name, file.size) as bar:
                partial = Partial(self.root / "partial" / name, file, bar)
                try:
                    yield partial
                finally:
                    partial.close(keep=held)

    def _lock(self, key: str) -> AbstractContextManager[bool]:
        return best_effort_lock(self.root / "locks" / f"{key}.lock")

    def _commit(self, file: File, partial: Partial) -> None:
        partial.flush()
        self._pin(file, partial.path)
        partial.commit(self.root / "objects" / relative(file.algorithm, file.digest))

    def _pin(self, file: File, path: Path) -> None:
        """Hold a file that was published by MD5 alone to the SHA-256 that was seen first.

        Raises:
            ArtifactCorrupted: It has the right MD5 and another SHA-256 than before.
        """
        if file.sha256:
            return
        pin = self.root / "pins" / file.digest
        seen = hash_file(path, "sha256")
        if not pin.is_file():
            write_atomically(pin, seen.encode())
        elif (pinned := pin.read_text()) != seen:
            msg = f"{file.name}: expected sha256 {pinned}, as seen before, got {seen}"
            raise ArtifactCorrupted(msg)


def relative(algorithm: str, digest: str) -> str:
    """Path of an object below `objects`."""
    return f"{algorithm}/{digest[:2]}/{digest}"


def hash_file(path: Path, algorithm: str) -> str:
    """Hash of a file, in hex."""
    digest = hashlib.new(algorithm, usedforsecurity=algorithm == "sha256")
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _receive(uri: str, sources: Sources, partial: Partial) -> None:
    """Bring the file from one source, in one piece if pieces turn out not to fit together."""
    try:
        sources.copy(uri, partial)
        partial.verify()
    except ArtifactCorrupted:
        pieced = partial.pieced
        partial.rewind()
        if not pieced:
            raise
        sources.copy(uri, partial)
        partial.verify()


def _candidates(file: File) -> list[str]:
    mirror = settings.mirror()
    mirrored = [f"{mirror}/{relative(file.algorithm, file.digest)}"] if mirror else []
    return [*mirrored, *file.sources]


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
