"""The store: a content-addressed cache of verified files.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
objects/<algorithm>/<first two digits>/<digest>   verified bytes, read-only
derived/<first two digits>/<key>                  sha256 of what was built from objects; small
                                                  things are kept as objects, graphs built again
stamps/<algorithm>/<digest>                       size, times and inode of an object when hashed
pins/<md5>                                        sha256 first seen of a file published by md5
partial/                                          what interrupted fetches left, to be continued
locks/                                            one lock file for each object being fetched
unreachable/                                      when a file was out of reach, and how it was asked
```

A file becomes visible under its name by an atomic rename, and only after its size and hash were
checked: no reader ever sees half a file, or a wrong one. An object whose stamp is as it was noted
is taken as it is; any other, as of a copied cache, is hashed again before it is used, and one whose
bytes are not the published ones is fetched anew. `objects` of one machine can serve as
`FURIOSA_MODELS_MIRROR` of another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import cached_property
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
        """Return where the file's verified bytes are, or would be."""
        name = object_path(file.algorithm, file.digest)
        paths = [root / "objects" / name for root in self._roots]
        return next((path for path in paths if _is_file(path)), paths[0])

    def has(self, file: File) -> bool:
        """Return whether the file is in the store; its bytes are checked where it is used."""
        return _is_file(self.path(file))

    def fetch(self, files: Iterable[File], *, origin: Origin | None = None) -> dict[str, Path]:
        """Return the paths of verified files by name; what is not in the store is fetched.

        Args:
            files: The files.
            origin: What redirects of its own URLs may not leave.

        Raises:
            ArtifactUnavailable: No source could deliver a file (names each one and its reason),
                or the cache cannot take it.
            ArtifactCorrupted: No source delivered the bytes that were published.
        """
        requested = list(files)
        found = {file.name: self._find_intact(file.algorithm, file.digest) for file in requested}
        missing = [file for file in requested if found[file.name] is None]
        if missing:
            from . import sources, transfer  # slow to import, and a warm store does without

            with sources.open_sources(origin) as open_readers:
                for file in missing:
                    received = transfer.fetch(self.root, file, open_readers, self._has_intact)
                    found[file.name] = self._admit(file, received=received)
        return {name: path for name, path in found.items() if path is not None}

    def put(self, file: File, stream: IO[bytes]) -> Path:
        """Take a file's bytes from a stream; raises as `fetch` does."""
        from . import transfer  # as in `fetch`

        received = transfer.put(self.root, file, stream, self._has_intact)
        return self._admit(file, received=received)

    def derive(self, key: str, build: Callable[[], bytes]) -> Path:
        """Return the path of what `build` makes, built once and kept under `key`.

        Where the cache cannot be written it is kept for the life of the process.

        Args:
            key: Hex digest over everything that the result depends on, as of `recipe_key`.
            build: Makes the bytes.
        """
        if (path := self.derived(key)) is not None:
            return path
        with self.lock(key):
            if (path := self.derived(key)) is not None:  # another process was faster
                return path
            data = build()
            try:
                return self._write_object(self.root, key, data)
            except OSError as error:
                _warn_unwritable(self.root, error)
                return self._write_object(self._fallback_root, key, data)

    def derived(self, key: str) -> Path | None:
        """Return the path of what was built under `key` before, if it is kept, and sound."""
        paths = (self._find_intact("sha256", digest) for digest in self._recorded_digests(key))
        return next((path for path in paths if path is not None), None)

    def digest(self, key: str) -> str | None:
        """Return the SHA-256 of what was built under `key` before, in hex, if it is known."""
        return next(self._recorded_digests(key), None)

    def note(self, key: str, digest: str) -> None:
        """Remember the SHA-256 of what was built under `key`, whose bytes are not kept."""
        try:
            self._write_note(self.root, key, digest)
        except OSError as error:
            _warn_unwritable(self.root, error)

    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold the lock of `key`, so that other processes wait for what is built under it."""
        from .transfer import best_effort_lock  # as in `fetch`

        return best_effort_lock(self.root / "locks" / f"{key}.lock")

    def is_intact(self, path: Path, algorithm: str, digest: str) -> bool:
        """Return whether a file has its hash, and the one it was first seen with; it is read."""
        try:
            if hash_file(path, algorithm) != digest:
                return False
            pinned = read_pin(self.root / "pins" / digest)
            return pinned is None or pinned == hash_file(path, "sha256")
        except OSError:
            return False

    def was_unreachable(self, files: Iterable[File]) -> bool:
        """Return whether a file was out of reach in the last hour, under the settings of now."""
        from . import reachability  # not for a warm store

        return any(reachability.was_unreachable(self.root, file.digest) for file in files)

    def note_unreachable(self, files: Iterable[File]) -> None:
        """Remember that these files are out of reach now."""
        from . import reachability  # as in `was_unreachable`

        for file in files:
            reachability.record_unreachable(self.root, file.digest)

    @property
    def _roots(self) -> Iterator[Path]:
        yield self.root
        yield from self.shared
        if "_scratch" in vars(self):
            yield self._fallback_root

    @cached_property
    def _fallback_root(self) -> Path:
        import shutil
        import tempfile

        folder = tempfile.mkdtemp(prefix="furiosa-models-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _find_intact(self, algorithm: str, digest: str) -> Path | None:
        """Path of an object in the first layer where its bytes are the right ones."""
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
            _warn_once(path, "%s is damaged: its %s is another. It is not used", path, algorithm)
        return None

    def _has_intact(self, file: File) -> bool:
        return self._find_intact(file.algorithm, file.digest) is not None

    def _admit(self, file: File, *, received: bool) -> Path:
        """Path of an object that was verified while it was received, here or by another process."""
        path = self.root / "objects" / object_path(file.algorithm, file.digest)
        if received:
            self._note_stamp(path, file.algorithm, file.digest)
        return self._find_intact(file.algorithm, file.digest) or path

    def _stamps(self, algorithm: str, digest: str) -> Iterator[bytes]:
        """What the layers noted of an object when it was hashed."""
        for root in self._roots:
            with suppress(OSError):
                yield (root / "stamps" / algorithm / digest).read_bytes()

    def _note_stamp(self, path: Path, algorithm: str, digest: str) -> None:
        from .transfer import write_atomically  # as in `fetch`

        with suppress(OSError):  # of another user, or read-only: it is hashed every time
            write_atomically(self.root / "stamps" / algorithm / digest, file_stamp(path))

    def _recorded_digests(self, key: str) -> Iterator[str]:
        """The hashes of what was built under a key, as the layers noted them."""
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
        self._unsaved: bytes | None = None

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
                    self._unsaved = self._rebuild()
        return self._digest or ""

    def read_bytes(self) -> bytes:
        """Return the bytes, which are built unless `digest` has just built them."""
        if self._unsaved is not None:
            return self._unsaved
        kept = self._store.derived(self.key)
        return self._rebuild() if kept is None else kept.read_bytes()

    def check(self) -> bool:
        """Build the bytes; return whether they have the noted hash, which is corrected if not."""
        recorded = self._store.digest(self.key)
        self._rebuild()
        return self._digest == recorded

    def take(self) -> bytes:
        """Return the bytes as `read_bytes` does, and free the memory of what `digest` built."""
        data, self._unsaved = self.read_bytes(), None
        return data

    def _rebuild(self) -> bytes:
        """The bytes, newly built; the store learns their hash if it knows none, or another."""
        data = self._build()
        digest = hashlib.sha256(data).hexdigest()
        if digest != self._store.digest(self.key):
            self._store.note(self.key, digest)
        self._digest = digest
        return data


def recipe_key(*recipe: object) -> str:
    """Return the key for `Store.derive` of all that a thing is made from, as JSON can say it."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path, algorithm: str) -> str:
    """Return the hash of a file, in hex."""
    digest = hashlib.new(algorithm, usedforsecurity=algorithm == "sha256")
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_stamp(path: Path) -> bytes:
    """Return what changes when a file does, without reading it: size, times and inode."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}".encode()


def _is_file(path: Path) -> bool:
    """Whether a file is there; not in a folder of another user, who lets nobody in."""
    try:
        return path.is_file()
    except OSError:
        return False


def _warn_unwritable(root: Path, error: OSError) -> None:
    """Say that nothing is kept, and what to do."""
    message = "%s cannot be written (%s): nothing is kept. FURIOSA_MODELS_CACHE_HOME moves it"
    _warn_once(root, message, root, error.strerror or error)


def _warn_once(path: Path, message: str, *arguments: object) -> None:
    """Log a warning, once a process, of a path."""
    if path not in _WARNED:
        _WARNED.add(path)
        logger.warning(message, *arguments)
