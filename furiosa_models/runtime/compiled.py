"""The compiled cache: graphs as a backend optimised them, memory-mapped ever after.

Layout, under `FURIOSA_MODELS_CACHE_HOME`:

```
compiled/<key>/entry.json   what it was made from and by, and sizes and times of the other files
compiled/<key>/...          model.onnx and weights.bin of ONNX Runtime, or model.blob of OpenVINO
```

An optimised graph is for the machine and the version of the library that made it, so the key is a
hash over both and the model. An entry appears by renaming its folder into place, whole; one whose
files are not as they were written is made again. `FURIOSA_MODELS_COMPILED=0` switches it off.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from .. import settings
from .machine import cpu_fingerprint
from .source import is_tflite

__all__ = ["Entry", "Maker", "entries", "home", "load", "remove"]

logger = logging.getLogger(__name__)

_FORMAT = 2
_LEAST_SIZE = 1 << 20
_DIGEST_LENGTH = 64
_ENTRY = "entry.json"
_OFF = frozenset({"0", "false", "no", "off"})


class Maker(Protocol):
    """What a backend does so that its programs can be kept.

    Attributes:
        library: Distribution that makes them.
        options: What makes its programs differ, besides the model and the versions.
    """

    library: str
    options: str

    def load(self, model: bytes | str) -> Any:
        """A session of a model: ONNX bytes, or the path of a file."""

    def make(self, model: bytes | str, folder: Path) -> Any:
        """A session of a model that leaves in the folder what `open` needs."""

    def open(self, folder: Path) -> Any:
        """A session of what was left in a folder."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A compiled program.

    Attributes:
        path: Its folder.
        model: sha256 of the model it was made from.
        made_by: Library that made it, its version and its options.
        size: Its bytes on disk.
        is_current: Whether this machine with this version would use it.
    """

    path: Path
    model: str
    made_by: str
    size: int
    is_current: bool


def home() -> Path:
    """Folder of the compiled cache."""
    return settings.cache_home() / "compiled"


def is_enabled() -> bool:
    """Whether the cache is in use (`FURIOSA_MODELS_COMPILED`)."""
    return os.environ.get("FURIOSA_MODELS_COMPILED", "1").strip().lower() not in _OFF


def load(model: bytes | str, maker: Maker) -> Any:
    """A backend's session of a model, from the cache if that has it.

    Args:
        model: ONNX bytes, or the path of a file.
        maker: What the backend does for it.
    """
    digest = _digest(model) if is_enabled() else None
    if digest is None:
        return maker.load(model)
    folder = home() / _key(digest, _made_by(maker.library, maker.options))
    session = _open(folder, maker)
    return session if session is not None else _make(folder, digest, model, maker)


def entries() -> list[Entry]:
    """What is in the cache, oldest first."""
    if not home().is_dir():
        return []
    folders = sorted(home().iterdir(), key=lambda folder: folder.stat().st_mtime)
    return [_describe(folder) for folder in folders if folder.is_dir()]


def remove(which: Iterable[Entry] | None = None) -> int:
    """Remove entries, all by default; gives the bytes freed."""
    doomed = entries() if which is None else list(which)
    for entry in doomed:
        shutil.rmtree(entry.path, ignore_errors=True)
    return sum(entry.size for entry in doomed)


def _open(folder: Path, maker: Maker) -> Any:
    """The session of an entry; None if it is not there, or not as it was written."""
    try:
        written = json.loads((folder / _ENTRY).read_text())["files"]
        if written != _stamps(folder):
            msg = "its files have changed"
            raise ValueError(msg)
        return maker.open(folder)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever is wrong with it, making it again is the remedy
        logger.info("compiled program %s is damaged (%s): making it again", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _make(folder: Path, digest: str, model: bytes | str, maker: Maker) -> Any:
    """A session of the model, which leaves an entry behind if it can."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix="new-", ignore_cleanup_errors=True
        ) as scratch:
            session = maker.make(model, Path(scratch))
            if not _has_external_data(model):
                _publish(Path(scratch), folder, digest, maker)
            return session
    except OSError as error:
        logger.info("no compiled program is kept (%s)", error)
    except Exception as error:  # a full disk, too, is ONNX Runtime's own kind of error
        logger.debug("no compiled program is kept (%s)", error)
    return maker.load(model)


def _publish(scratch: Path, folder: Path, digest: str, maker: Maker) -> None:
    made_by = _made_by(maker.library, maker.options)
    facts = {"model": digest, "made_by": made_by, "cpu": cpu_fingerprint()}
    (scratch / _ENTRY).write_text(json.dumps({**facts, "files": _stamps(scratch)}))
    # It fails where another process was faster, whose entry is as good.
    with suppress(OSError):
        scratch.rename(folder)


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Size and time of each file but the entry itself."""
    stats = {path.name: path.stat() for path in folder.iterdir() if path.name != _ENTRY}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(stats.items())}


def _digest(model: bytes | str) -> str | None:
    """sha256 of a model; None for one that is too small to be worth it, or cannot be read."""
    if isinstance(model, bytes):
        return None if len(model) < _LEAST_SIZE else hashlib.sha256(model).hexdigest()
    from ..artifacts.store import hash_file

    path = Path(model)
    try:
        if path.stat().st_size < _LEAST_SIZE:
            return None
        if _names_its_hash(path):
            return path.name
        return hash_file(path, "sha256")
    except OSError:
        return None


def _names_its_hash(path: Path) -> bool:
    """Whether it is an object of the artifact store, which verified it."""
    parents = path.parts[-4:-1]
    return parents == ("objects", "sha256", path.name[:2]) and len(path.name) == _DIGEST_LENGTH


def _has_external_data(model: bytes | str) -> bool:
    """Whether the model's weights are in other files, of which the digest knows nothing."""
    if isinstance(model, bytes) or is_tflite(model):
        return False
    import onnx

    proto = onnx.load(model, load_external_data=False)
    external = onnx.TensorProto.EXTERNAL
    return any(tensor.data_location == external for tensor in proto.graph.initializer)


def _key(digest: str, made_by: str) -> str:
    facts = [_FORMAT, digest, made_by, cpu_fingerprint()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _made_by(library: str, options: str) -> str:
    return f"{library} {_version(library)} {options}".rstrip()


@cache
def _version(library: str) -> str | None:
    # A library that is about to run is imported; asking for its metadata takes ten milliseconds.
    if module := sys.modules.get(library):
        return str(module.__version__).partition("-")[0]
    from .machine import version_of

    return version_of(library)


def _describe(folder: Path) -> Entry:
    size = sum(path.stat().st_size for path in folder.iterdir())
    try:
        facts = json.loads((folder / _ENTRY).read_text())
        model, made_by = str(facts["model"]), str(facts["made_by"])
        library, _, options = [*made_by.split(" ", 2), ""][:3]
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(folder, "", "", size, is_current=False)
    current = _key(model, _made_by(library, options))
    return Entry(folder, model, made_by, size, is_current=folder.name == current)
