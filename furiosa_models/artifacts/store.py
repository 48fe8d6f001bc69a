"""The store: a content-addressed cache of verified files.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
objects/<algorithm>/<first two digits>/<digest>   verified bytes, read-only
derived/<first two digits>/<key>                  SHA-256 of a file that was built from objects
stamps/<algorithm>/<digest>                       size, times and inode of an object when hashed
pins/<md5>                                        SHA-256 first seen of a file published by MD5
partial/                                          incomplete downloads, which are resumed
locks/                                            one lock file per object being fetched
unreachable/                                      when a file was unreachable, with what settings
```

A file appears under its name by an atomic rename, after its size and hash were verified, so readers
never see a partial or wrong file. An object is trusted while its size, times and inode match its
stamp. Otherwise, for example in a copied cache, it is hashed again before use; if the hash differs,
it is fetched again. The `objects` folder of one machine can serve as `FURIOSA_MODELS_MIRROR` of
another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .. import settings
from ..enums import Format
from .descriptor import File, is_sha256, object_path, read_pin

if TYPE_CHECKING:
    from .sources import Origin

__all__ = ["Built", "Store", "file_stamp", "hash_file", "recipe_key"]

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_WARNED: set[Path] = set()


class Store:
    """A cache folder, and optional read-only caches behind it.

    Args:
        root: The folder; `FURIOSA_MODELS_CACHE_HOME` by default. It is created on the first fetch.
        shared: Read-only folders with the same layout; `FURIOSA_MODELS_SHARED_CACHE` by default.
    """

    def __init__(self, root: Path | None = None, shared: Iterable[Path] | None = None) -> None:
        self.root = root if root is not None else settings.cache_home()
        self.shared = tuple(settings.shared_caches() if shared is None else shared)
        self._fallback_root: Path | None = None

    def path(self, file: File) -> Path:
        """Return the path of a file's verified bytes, whether or not it exists yet."""
        name = object_path(file.algorithm, file.digest)
        paths = [root / "objects" / name for root in self._roots]
        return next((path for path in paths if _is_file(path)), paths[0])

    def has(self, file: File) -> bool:
        """Return whether the file is in the store. Its bytes are verified on use, not here."""
        return _is_file(self.path(file))

    def fetch(self, files: Iterable[File], *, origin: Origin | None = None) -> dict[str, Path]:
        """Return the paths of verified files by name; download those that are not in the store.

        Args:
            files: The files.
            origin: Redirects of URLs of this origin must stay within it.

        Raises:
            ArtifactUnavailable: No source could deliver a file (the message lists every source and
                why), or the cache cannot be written.
            ArtifactCorrupted: No source delivered the published bytes.
        """
        requested = list(files)
        found = {file.name: self._find_intact(file.algorithm, file.digest) for file in requested}
        missing = [file for file in requested if found[file.name] is None]
        if missing:
            from . import sources, transfer  # slow to import, and not needed by a warm store

            with sources.open_sources(origin) as open_readers:
                for file in missing:
                    received = transfer.fetch(self.root, file, open_readers, self._has_intact)
                    found[file.name] = self._admit(file, received=received)
        return {name: path for name, path in found.items() if path is not None}

    def put(self, file: File, stream: IO[bytes]) -> Path:
        """Store a file whose bytes come from a stream, and return its path.

        Raises:
            ArtifactUnavailable: The cache cannot be written.
            ArtifactCorrupted: The bytes do not match the file's size or hash.
        """
        from . import transfer  # as in `fetch`

        received = transfer.put(self.root, file, stream, self._has_intact)
        return self._admit(file, received=received)

    def derive(self, key: str, build: Callable[[], bytes]) -> Path:
        """Return the path of a derived file; build it once and keep it under `key`.

        If the cache is not writable, the file is kept until the process ends.

        Args:
            key: Hex digest over everything that the bytes depend on; see `recipe_key`.
            build: Returns the bytes.
        """
        if (path := self.derived(key)) is not None:
            return path
        with self.lock(key):
            if (path := self.derived(key)) is not None:  # another process built it meanwhile
                return path
            data = build()
            try:
                return self._write_object(self.root, key, data)
            except OSError as error:
                _warn_unwritable(self.root, error)
                return self._write_object(self._open_fallback_root(), key, data)

    def derived(self, key: str) -> Path | None:
        """Return the path of the file built under `key`, or None if it is missing or damaged."""
        paths = (self._find_intact("sha256", digest) for digest in self._recorded_digests(key))
        return next((path for path in paths if path is not None), None)

    def digest(self, key: str) -> str | None:
        """Return the SHA-256 of the file built under `key`, in hex, or None if unknown."""
        return next(self._recorded_digests(key), None)

    def note(self, key: str, digest: str) -> None:
        """Record the SHA-256 of what was built under `key`, without storing the bytes."""
        try:
            self._write_note(self.root, key, digest)
        except OSError as error:
            _warn_unwritable(self.root, error)

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold the lock of `key`, so that other processes wait for this one to build it."""
        from .transfer import best_effort_lock  # as in `fetch`

        return best_effort_lock(self.root / "locks" / f"{key}.lock")

    def is_intact(self, path: Path, algorithm: str, digest: str) -> bool:
        """Read a file; return whether it matches its hash and, if it is pinned, its SHA-256."""
        try:
            if hash_file(path, algorithm) != digest:
                return False
            pinned = read_pin(self.root / "pins" / digest)
            return pinned is None or pinned == hash_file(path, "sha256")
        except OSError:
            return False

    def was_unreachable(self, files: Iterable[File]) -> bool:
        """Return whether a file was unreachable in the last hour, under the current settings."""
        from . import reachability  # not needed by a warm store

        return any(reachability.was_unreachable(self.root, file.digest) for file in files)

    def note_unreachable(self, files: Iterable[File]) -> None:
        """Record that these files are currently unreachable."""
        from . import reachability  # as in `was_unreachable`

        for file in files:
            reachability.record_unreachable(self.root, file.digest)

    @property
    def _roots(self) -> Iterator[Path]:
        yield self.root
        yield from self.shared
        if self._fallback_root is not None:
            yield self._fallback_root

    def _open_fallback_root(self) -> Path:
        """Return the temporary folder of this store, which is created at the first call."""
        if self._fallback_root is None:
            import shutil
            import tempfile

            folder = tempfile.mkdtemp(prefix="furiosa-models-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._fallback_root = Path(folder)
        return self._fallback_root

    def _find_intact(self, algorithm: str, digest: str) -> Path | None:
        """Return the path of an intact object in the first root that has one, or None."""
        name = object_path(algorithm, digest)
        for root in self._roots:
            path = root / "objects" / name
            try:
                stamp = file_stamp(path)
            except OSError:
                continue
            if stamp in self._stamps(algorithm, digest):
                return path
            if self.is_intact(path, algorithm, digest):
                self._note_stamp(path, algorithm, digest)
                return path
            _warn_once(
                path, "%s is damaged (its %s does not match): it is ignored", path, algorithm
            )
        return None

    def _has_intact(self, file: File) -> bool:
        return self._find_intact(file.algorithm, file.digest) is not None

    def _admit(self, file: File, *, received: bool) -> Path:
        """Return the path of an object that this process or another one has just verified."""
        path = self.root / "objects" / object_path(file.algorithm, file.digest)
        if received:
            self._note_stamp(path, file.algorithm, file.digest)
        return self._find_intact(file.algorithm, file.digest) or path

    def _stamps(self, algorithm: str, digest: str) -> Iterator[bytes]:
        """Yield the stamps recorded for an object when it was hashed."""
        for root in self._roots:
            with suppress(OSError):
                yield (root / "stamps" / algorithm / digest).read_bytes()

    def _note_stamp(self, path: Path, algorithm: str, digest: str) -> None:
        from .transfer import write_atomically  # as in `fetch`

        with suppress(OSError):  # not writable: the object is then hashed on every use
            write_atomically(self.root / "stamps" / algorithm / digest, file_stamp(path))

    def _recorded_digests(self, key: str) -> Iterator[str]:
        """Yield the SHA-256 recorded for a key in each root."""
        for root in self._roots:
            with suppress(OSError, UnicodeDecodeError):
                digest = (root / "derived" / key[:2] / key).read_text()
                if is_sha256(digest):
                    yield digest

    def _write_object(self, root: Path, key: str, data: bytes) -> Path:
        from .transfer import write_atomically  # as in `fetch`

        digest = hashlib.sha256(data).hexdigest()
        path = root / "objects" / object_path("sha256", digest)
        write_atomically(path, data)
        self._note_stamp(path, "sha256", digest)
        self._write_note(root, key, digest)
        return path

    def _write_note(self, root: Path, key: str, digest: str) -> None:
        from .transfer import write_atomically  # as in `fetch`

        write_atomically(root / "derived" / key[:2] / key, digest.encode())


class Built:
    """Bytes that are built on demand.

    The store remembers only their hash, not the bytes: everything needed to build them is in the
    store. With a warm cache of compiled programs they are never built.

    Args:
        store: The store.
        key: Hex digest over everything that the bytes depend on; see `recipe_key`.
        build: Returns the bytes.
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
        self._unsaved: bytes | None = None

    def __repr__(self) -> str:
        return f"<{self.format.value} of {self.key[:12]}>"

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex. Builds them if the hash is not known yet."""
        if self._digest is None:
            self._digest = self._store.digest(self.key)
        if self._digest is None:
            with self._store.lock(self.key):
                self._digest = self._store.digest(self.key)  # another process may have built them
                if self._digest is None:
                    self._unsaved = self._rebuild()
        return self._digest or ""

    def read_bytes(self) -> bytes:
        """Return the bytes; build them unless `digest` has just done so."""
        if self._unsaved is not None:
            return self._unsaved
        kept = self._store.derived(self.key)
        return self._rebuild() if kept is None else kept.read_bytes()

    def check(self) -> bool:
        """Build the bytes; return whether they match the recorded hash, and update it if not."""
        recorded = self._store.digest(self.key)
        self._rebuild()
        return self._digest == recorded

    def take(self) -> bytes:
        """Return the bytes as `read_bytes` does, and release the copy that `digest` may hold."""
        data, self._unsaved = self.read_bytes(), None
        return data

    def _rebuild(self) -> bytes:
        """Build the bytes, and record their hash if it is new or different."""
        data = self._build()
        digest = hashlib.sha256(data).hexdigest()
        if digest != self._store.digest(self.key):
            self._store.note(self.key, digest)
        self._digest = digest
        return data


def recipe_key(*recipe: object) -> str:
    """Return a key for `Store.derive`: the SHA-256 of JSON-serializable inputs."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path, algorithm: str) -> str:
    """Return the hash of a file, in hex."""
    digest = hashlib.new(algorithm, usedforsecurity=algorithm == "sha256")
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_stamp(path: Path) -> bytes:
    """Return size, times and inode of a file: cheap to get, and changed by any write."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}".encode()


def _is_file(path: Path) -> bool:
    """Return whether a path is a file; False if its folder is not accessible."""
    try:
        return path.is_file()
    except OSError:
        return False


def _warn_unwritable(root: Path, error: OSError) -> None:
    """Warn once that nothing is cached, and how to change that."""
    message = "%s cannot be written (%s): nothing is cached. Set FURIOSA_MODELS_CACHE_HOME"
    _warn_once(root, message, root, error.strerror or error)


def _warn_once(path: Path, message: str, *arguments: object) -> None:
    """Log a warning about a path, at most once per process."""
    if path not in _WARNED:
        _WARNED.add(path)
        logger.warning(message, *arguments)
