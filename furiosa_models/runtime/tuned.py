"""What `tune` measured on this machine: the fastest device and number of threads of programs.

One JSON file a program, under `FURIOSA_MODELS_CACHE_HOME`: `tuned/<key>.json`. The key is a hash of
the program, the CPU, and the number of CPUs that the process may use. An answer of another version
of the backend is not used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import settings
from ..artifacts.store import Built
from ..errors import CacheNotWritable
from .backends import find_backend
from .machine import available_cpus, cpu_fingerprint, cpu_name
from .source import Use, program_digest

__all__ = ["Entry", "Setting", "check_writable", "entries", "find", "forget", "keep", "remove"]

logger = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """How to run a program.

    Attributes:
        backend: Name of the backend.
        device: Device string.
        threads: Number of threads of an inference.
    """

    backend: str
    device: str
    threads: int

    def __str__(self) -> str:
        return f"{self.device} with {self.threads} thread{'s' * (self.threads != 1)}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept answer.

    Attributes:
        path: Its file.
        program: SHA-256 of the program.
        best: The fastest setting of each use.
        is_current: Whether it is of this machine, and of the installed versions.
    """

    path: Path
    program: str
    best: dict[Use, Setting]
    is_current: bool


def find(program: bytes | str | Built, use: Use) -> Setting | None:
    """Return the fastest setting of a program, or None if it was not measured on this machine.

    Args:
        program: ONNX or TensorFlow Lite: bytes, a path, or the builder of the bytes.
        use: How it will run.
    """
    try:
        path = _file(program_digest(program))
    except OSError:  # the backend that loads it reports the error
        return None
    kept = _read(path)
    if kept is None:
        return None
    if not _is_current(kept, use):
        logger.info("%s was measured with another version: run `furiosa-models tune` again", path)
        return None
    return Setting(**kept["best"][use])


def keep(
    program: str,
    best: Mapping[Use, Setting],
    measured: Iterable[Mapping[str, Any]],
) -> Path:
    """Keep the answer for a program; return its file.

    Args:
        program: SHA-256 of the program.
        best: The fastest setting of each use.
        measured: What was measured, for people.

    Raises:
        CacheNotWritable: The cache cannot be written.
    """
    from ..artifacts.transfer import write_atomically

    kept = {
        "format": _FORMAT,
        "program": program,
        "cpu": cpu_name(),
        "cpus": available_cpus(),
        "best": {use: asdict(setting) for use, setting in best.items()},
        "fingerprints": {use: _fingerprint(setting) for use, setting in best.items()},
        "measured": list(measured),
    }
    path = _file(program)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(kept, indent=1) + "\n").encode())
    except OSError as error:
        raise CacheNotWritable(_not_kept(path.parent, error)) from error
    return path


def check_writable() -> None:
    """Check that answers can be kept, before they are measured.

    Raises:
        CacheNotWritable: The cache cannot be written.
    """
    folder = settings.tuned_home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheNotWritable(_not_kept(folder, error)) from error


def forget(program: bytes | str | Built) -> bool:
    """Remove the answer for a program on this machine; return whether there was one."""
    path = _file(program_digest(program))
    was_there = path.is_file()
    path.unlink(missing_ok=True)
    return was_there


def entries() -> list[Entry]:
    """Return all answers, by name of the file."""
    found = []
    for path in sorted(settings.tuned_home().glob("*.json")):
        kept = _read(path)
        if kept is None:
            found.append(Entry(path, "", {}, is_current=False))
            continue
        best: dict[Use, Setting] = {use: Setting(**kept["best"][use]) for use in kept["best"]}
        current = path == _file(kept["program"]) and all(_is_current(kept, use) for use in best)
        found.append(Entry(path, kept["program"], best, current))
    return found


def remove(which: Iterable[Entry]) -> int:
    """Remove answers; return the number of bytes freed."""
    freed = 0
    for entry in which:
        with suppress(FileNotFoundError):
            freed += entry.path.stat().st_size
            entry.path.unlink()
    return freed


def _not_kept(folder: Path, error: OSError) -> str:
    return f"the answer cannot be kept in {folder} ({error}): set FURIOSA_MODELS_CACHE_HOME"


def _file(program: str) -> Path:
    facts = [_FORMAT, program, cpu_fingerprint(), cpu_name(), available_cpus()]
    return (
        settings.tuned_home()
        / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]}.json"
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Return an answer; None if there is none, or not in this form."""
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
        settings_of = [Setting(**setting) for setting in kept["best"].values()]
        is_whole = isinstance(kept["program"], str) and isinstance(kept["fingerprints"], dict)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return kept if settings_of and is_whole and all(map(_is_valid, settings_of)) else None


def _is_valid(setting: Setting) -> bool:
    """Return whether the values of a setting that was read have the right types and ranges."""
    texts = isinstance(setting.backend, str) and isinstance(setting.device, str)
    if not texts or type(setting.threads) is not int:
        return False
    backend = find_backend(setting.backend)
    matches = backend is not None and backend.matches(setting.device)
    return matches and 1 <= setting.threads <= available_cpus()


def _is_current(kept: Mapping[str, Any], use: Use) -> bool:
    """Return whether the backend is available in the version with which it was measured."""
    if use not in kept["best"]:
        return False
    now = _fingerprint(Setting(**kept["best"][use]))
    return now is not None and kept["fingerprints"].get(use) == now


def _fingerprint(setting: Setting) -> str | None:
    """Return the fingerprint of a backend; None if it is not available."""
    backend = find_backend(setting.backend)
    if backend is None or backend.problem(setting.device) is not None:
        return None
    return backend.fingerprint()
