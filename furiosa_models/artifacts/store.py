"""The store: a content-addressed cache of verified files.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
objects/<algorithm>/<first two digits>/<digest>   verified bytes, read-only
derived/<first two digits>/<key>                  sha256 of what was built from objects
pins/<md5>                                        sha256 first seen of a file published by md5
partial/                                          what interrupted fetches left, to be continued
locks/                                            one lock file for each object being fetched
unreachable/                                      when a file was out of reach, and how it was asked
```

A file becomes visible under its name by an atomic rename, and only after its size and hash were
checked: no reader ever sees half a file, or a wrong one. `objects` of one machine can serve as
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
from .descriptor import File, object_path

if TYPE_CHECKING:
    from .sources import Origin

__all__ = ["Store", "hash_file", "recipe_key"]

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20


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
        return self._object(file.algorithm, file.digest)

    def has(self, file: File) -> bool:
        """Return whether the file is in the store."""
        return self.path(file).is_file()

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
        wanted = list(files)
        missing = [file for file in wanted if not self.has(file)]
        if missing:
            from . import sources, transfer  # slow to import, and a warm store does without

            with sources.open_sources(origin) as opened:
                for file in missing:
                    transfer.fetch(self.root, file, opened, self.has)
        return {file.name: self.path(file) for file in wanted}

    def put(self, file: File, stream: IO[bytes]) -> Path:
        """Take a file's bytes from a stream; raises as `fetch` does."""
        from . import transfer  # as in `fetch`

        transfer.put(self.root, file, stream, self.has)
        return self.path(file)

    def derive(self, key: str, build: Callable[[], bytes]) -> Path:
        """Return the path of what `build` makes, built once and kept under `key`.

        Where the cache cannot be written it is kept for the life of the process.

        Args:
            key: Hex digest over everything that the result depends on, as of `recipe_key`.
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
        """Return the path of what was built under `key` before, if it is there."""
        for root in self._layers:
            with suppress(OSError):
                digest = (root / "derived" / key[:2] / key).read_text()
                if (path := root / "objects" / object_path("sha256", digest)).is_file():
                    return path
        return None

    def was_unreachable(self, files: Iterable[File]) -> bool:
        """Return whether a file was out of reach in the last hour, under the settings of now."""
        from . import unreachable  # not for a warm store

        return any(unreachable.is_noted(self.root, file.digest) for file in files)

    def note_unreachable(self, files: Iterable[File]) -> None:
        """Remember that these files are out of reach now."""
        from . import unreachable  # as in `was_unreachable`

        for file in files:
            unreachable.note(self.root, file.digest)

    @property
    def _layers(self) -> Iterator[Path]:
        yield self.root
        yield from self.shared
        if "_scratch" in vars(self):
            yield self._scratch

    @cached_property
    def _scratch(self) -> Path:
        import shutil
        import tempfile

        folder = tempfile.mkdtemp(prefix="furiosa-models-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _object(self, algorithm: str, digest: str) -> Path:
        """Path of an object in the first layer that has it; in the root if none has."""
        name = object_path(algorithm, digest)
        paths = [root / "objects" / name for root in self._layers]
        return next((path for path in paths if path.is_file()), paths[0])

    def _keep(self, root: Path, key: str, data: bytes) -> Path:
        from .transfer import write_atomically  # as in `fetch`

        digest = hashlib.sha256(data).hexdigest()
        path = root / "objects" / object_path("sha256", digest)
        write_atomically(path, data)
        write_atomically(root / "derived" / key[:2] / key, digest.encode())
        return path

    def _lock(self, key: str) -> AbstractContextManager[bool]:
        from .transfer import best_effort_lock  # as in `fetch`

        return best_effort_lock(self.root / "locks" / f"{key}.lock")


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
