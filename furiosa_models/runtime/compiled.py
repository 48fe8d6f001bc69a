"""Cache of compiled programs: graphs optimized by a backend, loaded by memory mapping.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
compiled/<key>/entry.json   origin of the entry; stamps and hashes of its other files
compiled/<key>/...          model.onnx and weights.bin of ONNX Runtime, or model.blob of OpenVINO
```

The key is a hash of the model, the backend's name and fingerprint (its version and the machine),
and its options. An entry appears by an atomic rename of its folder. Files with unchanged size,
times and inode are trusted; others, for example in a copied cache, are hashed, and a modified entry
is compiled again. `FURIOSA_MODELS_COMPILED=0` disables the cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .. import settings
from ..artifacts.store import Built, hash_file
from ..networks.external_data import external_weight_files
from .backends import Backend, find_backend
from .source import program_digest

__all__ = [
    "Entry",
    "Loader",
    "damaged",
    "entries",
    "home",
    "is_enabled",
    "load",
    "remove",
    "remove_leftovers",
]

logger = logging.getLogger(__name__)

_FORMAT = 5
_MIN_SIZE = 1 << 20
_ENTRY = "entry.json"
_TEMPORARY_PREFIX = "new-"


class Loader(Protocol):
    """Interface of a backend whose compiled programs can be cached."""

    @property
    def backend(self) -> Backend:
        """The backend; its fingerprint is part of the key."""

    @property
    def options(self) -> str:
        """Options that affect its programs, besides the model and the fingerprint."""

    def load(self, model: bytes | str) -> Any:
        """Load a model from ONNX bytes or a file; return a session."""

    def compile(self, model: bytes | str, folder: Path) -> Any:
        """Load a model; return a session, and write the files that `open` needs into a folder."""

    def open(self, folder: Path) -> Any:
        """Return a session from the files that `compile` wrote."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A compiled program.

    Attributes:
        path: Its folder.
        model: SHA-256 of the model it was compiled from.
        made_by: Name, fingerprint and options of the backend that compiled it.
        size: Size on disk in bytes.
        is_current: Whether this machine would use it with the installed version of the backend.
    """

    path: Path
    model: str
    made_by: str
    size: int
    is_current: bool


def home() -> Path:
    """Return the folder of the compiled cache."""
    return settings.cache_home() / "compiled"


def is_enabled() -> bool:
    """Return whether the cache is enabled (`FURIOSA_MODELS_COMPILED`)."""
    return settings.keeps_compiled()


def load(model: bytes | str | Built, loader: Loader) -> Any:
    """Return a backend's session of a model, from the cache if possible.

    Args:
        model: ONNX bytes, the path of a file, or a `Built`, whose bytes are built only if they are
            not in the cache.
        loader: The backend's loader.
    """
    digest = _digest(model) if is_enabled() else None
    if digest is None:
        return loader.load(model if isinstance(model, (bytes, str)) else model.take())
    facts = _facts(digest, loader)
    session = _open(home() / _key(facts), loader)
    if session is not None:
        return session
    if not isinstance(model, (bytes, str)):
        built = model.take()
        if len(built) < _MIN_SIZE:
            return loader.load(built)
        facts, model = _facts(model.digest, loader), built  # its hash may differ from the recorded
    return _compile(home() / _key(facts), facts, model, loader)


def entries() -> list[Entry]:
    """Return all entries, oldest first."""
    if not home().is_dir():
        return []
    found = []
    for folder in home().iterdir():
        if folder.is_dir() and not folder.name.startswith(_TEMPORARY_PREFIX):
            with suppress(FileNotFoundError):  # just removed by another process
                found.append((folder.stat().st_mtime, _describe(folder)))
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def damaged() -> list[Entry]:
    """Return the entries whose files do not match their hashes. Reads all files."""
    return [entry for entry in entries() if not _is_intact(entry.path)]


def remove(which: Iterable[Entry] | None = None) -> int:
    """Remove entries, all by default; return the number of bytes freed."""
    to_remove = entries() if which is None else list(which)
    for entry in to_remove:
        shutil.rmtree(entry.path, ignore_errors=True)
    return sum(entry.size for entry in to_remove)


def remove_leftovers() -> int:
    """Remove leftovers of interrupted compilations; return the number of bytes freed.

    Do not call this while another process compiles: its folders look the same.
    """
    freed = 0
    for folder in home().glob(f"{_TEMPORARY_PREFIX}*"):
        freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def _open(folder: Path, loader: Loader) -> Any:
    """Return the session of an entry; None if it is missing or was modified."""
    try:
        entry = json.loads((folder / _ENTRY).read_text())
        _check(folder, entry)
        return loader.open(folder)
    except FileNotFoundError:
        return None
    except Exception as error:  # compile again, whatever is wrong
        logger.info("compiled program %s is damaged (%s): compiling it again", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _check(folder: Path, entry: dict[str, Any]) -> None:
    """Check that the files of an entry are unmodified; update their stamps if only these changed.

    Raises:
        ValueError: A file was modified.
    """
    stamps = _stamps(folder)
    if stamps == entry["files"]:
        return
    if _hashes(folder) != entry["hashes"]:
        msg = "its files have changed"
        raise ValueError(msg)
    from ..artifacts.transfer import write_atomically

    with suppress(OSError):  # not writable: the files are then hashed on every use
        write_atomically(folder / _ENTRY, json.dumps({**entry, "files": stamps}).encode())


def _compile(folder: Path, facts: dict[str, str], model: bytes | str, loader: Loader) -> Any:
    """Return a session of the model; store an entry if possible."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=_TEMPORARY_PREFIX, ignore_cleanup_errors=True
        ) as scratch:
            session = loader.compile(model, Path(scratch))
            if isinstance(model, bytes) or not external_weight_files(
                model
            ):  # external weights are not in the digest
                _publish(Path(scratch), folder, facts)
            return session
    except OSError as error:
        logger.info("no compiled program is kept (%s)", error)
    except Exception as error:  # ONNX Runtime has its own exceptions, even for a full disk
        logger.debug("no compiled program is kept (%s)", error)
    return loader.load(model)


def _is_intact(folder: Path) -> bool:
    try:
        hashes = json.loads((folder / _ENTRY).read_text())["hashes"]
        return bool(hashes == _hashes(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _publish(scratch: Path, folder: Path, facts: dict[str, str]) -> None:
    entry = {**facts, "files": _stamps(scratch), "hashes": _hashes(scratch)}
    (scratch / _ENTRY).write_text(json.dumps(entry))
    # Fails if another process was faster; its entry is equivalent.
    with suppress(OSError):
        scratch.rename(folder)


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Return size, times and inode of each file except `entry.json`."""
    stats = {path.name: path.stat() for path in _files(folder)}
    return {
        name: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        for name, stat in stats.items()
    }


def _hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file except `entry.json`."""
    return {path.name: hash_file(path, "sha256") for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    """Return the files of an entry except `entry.json`."""
    return sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name != _ENTRY)


def _digest(model: bytes | str | Built) -> str | None:
    """Return the SHA-256 of a model; None if it is too small to cache, or cannot be read."""
    try:
        if isinstance(model, (bytes, str)):
            size = len(model) if isinstance(model, bytes) else Path(model).stat().st_size
            if size < _MIN_SIZE:
                return None
        return program_digest(model)
    except OSError:
        return None


def _facts(digest: str, loader: Loader) -> dict[str, str]:
    backend = loader.backend
    return {
        "model": digest,
        "backend": backend.name,
        "fingerprint": backend.fingerprint(),
        "options": loader.options,
    }


def _key(facts: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, *facts.values()]).encode()).hexdigest()[:32]


def _describe(folder: Path) -> Entry:
    size = sum(path.stat().st_size for path in folder.iterdir())
    try:
        written = json.loads((folder / _ENTRY).read_text())
        facts = {n: str(written[n]) for n in ("model", "backend", "fingerprint", "options")}
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(folder, "", "", size, is_current=False)
    backend = find_backend(facts["backend"])
    current = backend is not None and backend.fingerprint() == facts["fingerprint"]
    made_by = f"{facts['backend']} {facts['fingerprint']} {facts['options']}".rstrip()
    is_current = current and folder.name == _key(facts)
    return Entry(folder, facts["model"], made_by, size, is_current)
