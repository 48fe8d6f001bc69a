"""What the user can set through the environment, read when it is needed.

| variable | meaning | default |
|---|---|---|
| `FURIOSA_MODELS_CACHE_HOME` | folder of the artifact cache | the platform's cache folder |
| `FURIOSA_MODELS_SHARED_CACHE` | read-only caches behind it, separated as in `PATH` | none |
| `FURIOSA_MODELS_OFFLINE` | `1`: never touch the network | `0` |
| `FURIOSA_MODELS_MIRROR` | folder or URL prefix that is asked before every other source | none |
| `FURIOSA_MODELS_PROGRESS` | `0`: no progress bars | `1` |
| `FURIOSA_MODELS_COMPILED` | `0`: do not keep compiled programs | `1` |
| `FURIOSA_MODELS_COMPILE_TIMEOUT` | seconds that the NPU's compiler may take | `1800` |
| `FURIOSA_MODELS_AVX2` | `0`: kernels for a CPU without AVX2, with equal results | `1` |
| `FURIOSA_MODELS_FONT` | font file of labels in pictures, for scripts that others lack | none |
| `FURIOSA_MODELS_STRICT` | `1`: no other weights in place of published ones unreachable | `0` |
| `FURIOSA_MODELS_TRACEBACK` | `1`: the command shows the whole of an error, not one line | `0` |
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = [
    "cache_home",
    "compile_timeout",
    "font",
    "is_offline",
    "is_strict",
    "keeps_compiled",
    "mirror",
    "shared_caches",
    "shows_progress",
    "shows_tracebacks",
]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def cache_home() -> Path:
    """Folder of the artifact cache (`FURIOSA_MODELS_CACHE_HOME`).

    A user without a home, as in some containers, has one for the life of the process.
    """
    if home := os.environ.get("FURIOSA_MODELS_CACHE_HOME"):
        return _expanded("FURIOSA_MODELS_CACHE_HOME", home)
    from platformdirs import user_cache_path

    try:
        return user_cache_path("furiosa-models", appauthor=False)
    except RuntimeError:
        return _passing_home()


def shared_caches() -> list[Path]:
    """Read-only caches behind the first one (`FURIOSA_MODELS_SHARED_CACHE`)."""
    folders = os.environ.get("FURIOSA_MODELS_SHARED_CACHE", "").split(os.pathsep)
    return [_expanded("FURIOSA_MODELS_SHARED_CACHE", folder) for folder in folders if folder]


def is_offline() -> bool:
    """Whether the network must not be touched (`FURIOSA_MODELS_OFFLINE`)."""
    return _flag("FURIOSA_MODELS_OFFLINE", default=False)


def is_strict() -> bool:
    """Whether published weights may not be replaced (`FURIOSA_MODELS_STRICT`)."""
    return _flag("FURIOSA_MODELS_STRICT", default=False)


def keeps_compiled() -> bool:
    """Whether compiled programs are kept (`FURIOSA_MODELS_COMPILED`)."""
    return _flag("FURIOSA_MODELS_COMPILED", default=True)


def shows_progress() -> bool:
    """Whether long work shows a progress bar (`FURIOSA_MODELS_PROGRESS`)."""
    return _flag("FURIOSA_MODELS_PROGRESS", default=True)


def shows_tracebacks() -> bool:
    """Whether the command shows the whole of an error (`FURIOSA_MODELS_TRACEBACK`)."""
    return _flag("FURIOSA_MODELS_TRACEBACK", default=False)


def compile_timeout() -> float:
    """Seconds that the NPU's compiler may take (`FURIOSA_MODELS_COMPILE_TIMEOUT`)."""
    value = os.environ.get("FURIOSA_MODELS_COMPILE_TIMEOUT", "1800")
    with suppress(ValueError):
        if (seconds := float(value)) > 0:
            return seconds
    msg = f"FURIOSA_MODELS_COMPILE_TIMEOUT={value!r} is no time: set it to a number of seconds"
    raise ValueError(msg)


def font() -> str | None:
    """Font file of the labels in pictures (`FURIOSA_MODELS_FONT`)."""
    return os.environ.get("FURIOSA_MODELS_FONT") or None


def mirror() -> str | None:
    """Folder or URL prefix asked before every other source (`FURIOSA_MODELS_MIRROR`)."""
    return os.environ.get("FURIOSA_MODELS_MIRROR", "").rstrip("/") or None


def _expanded(name: str, folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        msg = f"{name}={folder!r}: there is no home folder: set it to an absolute path"
        raise ValueError(msg) from error


@cache
def _passing_home() -> Path:
    import atexit
    import logging
    import shutil
    import tempfile

    # A folder with a name that others can guess might be theirs.
    folder = Path(tempfile.mkdtemp(prefix="furiosa-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logging.getLogger(__name__).warning(
        "the user has no home folder: what is fetched is kept in %s until the process ends; "
        "FURIOSA_MODELS_CACHE_HOME names a folder that stays",
        folder,
    )
    return folder


def _flag(name: str, *, default: bool) -> bool:
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in _TRUE:
        return True
    if value.strip().lower() in _FALSE:
        return False
    msg = f"{name}={value!r} is neither on nor off: set it to 1 or 0"
    raise ValueError(msg)
