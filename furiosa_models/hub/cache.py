"""Pulled models in the cache: complete and verified, or absent.

The files are in the store, by their hashes. Below `FURIOSA_MODELS_CACHE_HOME`:

```
hub/<key>.json           what was pulled: version, and names, sizes and hashes of the files
hub/models/<digest>/     a folder with these files: links to those of the store
```
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..artifacts.descriptor import File
from ..artifacts.sources import Origin
from ..artifacts.store import Store, hash_file, recipe_key
from ..artifacts.transfer import best_effort_lock
from ..errors import ArtifactError, HubError
from ..output import new_folder, replace_file
from ..registry.descriptor import inside

__all__ = ["PulledModel"]


@dataclass(frozen=True)
class _Manifest:
    version: str
    files: tuple[File, ...]


class PulledModel:
    """A model of a hub in the cache.

    Args:
        place: What identifies it: kind and URL of the hub, name of the model.
    """

    def __init__(self, *place: str) -> None:
        self._key = recipe_key("hub", *place)
        self._store = Store()
        self._path = self._store.root / "hub" / f"{self._key}.json"

    @property
    def partial(self) -> Path:
        """Path for an incomplete download."""
        return self._store.root / "partial" / f"hub-{self._key}"

    def lock(self) -> AbstractContextManager[bool]:
        """Hold the lock of this model, so that other processes wait for this one to pull it."""
        return best_effort_lock(self._store.root / "locks" / f"{self._key}.lock")

    def find(self, version: str | None = None) -> Path | None:
        """Return the folder of what was pulled last; None if it is missing or damaged.

        Args:
            version: Version that it must have.
        """
        found = self._manifest()
        if found is None or version not in (None, found.version):
            return None
        try:
            paths = self._store.fetch(found.files)
        except ArtifactError:
            return None
        return self._folder(paths)

    def put(self, name: str, path: Path) -> File:
        """Store a downloaded file.

        Raises:
            ArtifactUnavailable: The cache cannot be written.
            HubError: The file is empty.
        """
        size = path.stat().st_size
        if not size:
            msg = f"{name} is empty on the hub: expected a file of a model"
            raise HubError(msg)
        file = File(name, size, (), sha256=hash_file(path, "sha256"))
        with path.open("rb") as stream:
            self._store.put(file, stream)
        return file

    def add(self, version: str, files: Sequence[File], origin: Origin | None = None) -> Path:
        """Record what was pulled, and return its folder; fetch files that the store lacks.

        Args:
            version: Version of the model.
            files: Its files.
            origin: Origin that redirects must stay in, or None.

        Raises:
            ArtifactUnavailable: A file cannot be fetched, or the cache cannot be written.
            ArtifactCorrupted: No source delivered the published bytes.
        """
        folder = self._folder(self._store.fetch(files, origin=origin))
        rows = [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in files]
        document = {"version": version, "files": rows}
        replace_file(self._path, json.dumps(document, indent=1).encode())
        return folder

    def _manifest(self) -> _Manifest | None:
        """Return what was pulled last; None if there is nothing, or if it cannot be read."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            files = (
                File(inside(str(row["name"])), int(row["size"]), (), sha256=str(row["sha256"]))
                for row in found["files"]
            )
            return _Manifest(str(found["version"]), tuple(files))
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None

    def _folder(self, paths: Mapping[str, Path]) -> Path:
        """Return a folder with links to files of the store."""
        listed = sorted((name, path.name) for name, path in paths.items())
        digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]
        folder = self._store.root / "hub" / "models" / digest
        with best_effort_lock(self._store.root / "locks" / f"{digest}.lock"):
            if folder.is_dir():
                if all(_is_same(folder / name, path) for name, path in paths.items()):
                    return folder
                shutil.rmtree(folder)
            with new_folder(folder) as partial:
                for name, path in paths.items():
                    _link(path, partial / name)
        return folder


def _is_same(link: Path, path: Path) -> bool:
    try:
        return link.samefile(path) or hash_file(link, "sha256") == path.name
    except OSError:
        return False


def _link(path: Path, link: Path) -> None:
    """Link a file of the store into a folder; copy it if the file system has no hard links."""
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)
