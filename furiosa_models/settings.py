"""Settings from environment variables, read when they are needed.

| variable | meaning | default |
|---|---|---|
| `FURIOSA_MODELS_CACHE_HOME` | folder of the artifact cache | the platform's cache folder |
| `FURIOSA_MODELS_SHARED_CACHE` | read-only caches behind it, separated as in `PATH` | none |
| `FURIOSA_MODELS_OFFLINE` | `1`: do not use the network | `0` |
| `FURIOSA_MODELS_MIRROR` | folder or URL prefix that is tried first | none |
| `FURIOSA_MODELS_PROGRESS` | `0`: no progress bars | `1` |
| `FURIOSA_MODELS_THREADS` | most threads that a process computes with | its CPUs |
| `FURIOSA_MODELS_COMPILED` | `0`: do not cache compiled programs | `1` |
| `FURIOSA_MODELS_COMPILE_TIMEOUT` | time limit of the NPU's compiler, in seconds | `1800` |
| `FURIOSA_MODELS_AVX2` | `0`: do not use AVX2 in native kernels; results are equal | `1` |
| `FURIOSA_MODELS_FONT` | font file for labels in pictures | none |
| `FURIOSA_MODELS_STRICT` | `1`: no fallback to other weights | `0` |
| `FURIOSA_MODELS_TRACEBACK` | `1`: the command shows tracebacks instead of one-line errors | `0` |
| `DEFAULT_HOST_URL` | URL of the hub of Focoos, which ends in `/v0` | none |
| `FOCOOS_API_KEY` | API key of the hub of Focoos | none |
| `FOCOOS_API_KEY_FILE` | file with it, of mode 0600 | `focoos_api_key` in the settings folder |
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = [
    "cache_home",
    "compile_timeout",
    "focoos_host",
    "focoos_key",
    "focoos_key_file",
    "font",
    "is_offline",
    "is_strict",
    "keeps_compiled",
    "mirror",
    "shared_caches",
    "shows_progress",
    "shows_tracebacks",
    "threads",
    "tuned_home",
]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def cache_home() -> Path:
    """Return the folder of the artifact cache (`FURIOSA_MODELS_CACHE_HOME`).

    For a user without a home folder, as in some containers, it is a temporary folder of this
    process.
    """
    if home := os.environ.get("FURIOSA_MODELS_CACHE_HOME"):
        return _expanded("FURIOSA_MODELS_CACHE_HOME", home)
    from platformdirs import user_cache_path

    try:
        return user_cache_path("furiosa-models", appauthor=False)
    except RuntimeError:
        return _passing_home()


def tuned_home() -> Path:
    """Return the folder of what `tune` measured, in the artifact cache."""
    return cache_home() / "tuned"


def shared_caches() -> list[Path]:
    """Return the read-only caches behind the first one (`FURIOSA_MODELS_SHARED_CACHE`)."""
    folders = os.environ.get("FURIOSA_MODELS_SHARED_CACHE", "").split(os.pathsep)
    return [_expanded("FURIOSA_MODELS_SHARED_CACHE", folder) for folder in folders if folder]


def is_offline() -> bool:
    """Return whether the network must not be used (`FURIOSA_MODELS_OFFLINE`)."""
    return _flag("FURIOSA_MODELS_OFFLINE", default=False)


def is_strict() -> bool:
    """Return whether published weights must not be replaced (`FURIOSA_MODELS_STRICT`)."""
    return _flag("FURIOSA_MODELS_STRICT", default=False)


def keeps_compiled() -> bool:
    """Return whether compiled programs are cached (`FURIOSA_MODELS_COMPILED`)."""
    return _flag("FURIOSA_MODELS_COMPILED", default=True)


def shows_progress() -> bool:
    """Return whether to show progress bars (`FURIOSA_MODELS_PROGRESS`)."""
    return _flag("FURIOSA_MODELS_PROGRESS", default=True)


def shows_tracebacks() -> bool:
    """Return whether the command shows tracebacks (`FURIOSA_MODELS_TRACEBACK`)."""
    return _flag("FURIOSA_MODELS_TRACEBACK", default=False)


def compile_timeout() -> float:
    """Return the time limit of the NPU's compiler (`FURIOSA_MODELS_COMPILE_TIMEOUT`)."""
    value = os.environ.get("FURIOSA_MODELS_COMPILE_TIMEOUT", "1800")
    with suppress(ValueError):
        if (seconds := float(value)) > 0:
            return seconds
    msg = f"FURIOSA_MODELS_COMPILE_TIMEOUT={value!r} is not a time: set it to a number of seconds"
    raise ValueError(msg)


def threads() -> int | None:
    """Return the most threads to compute with (`FURIOSA_MODELS_THREADS`), or None for no limit.

    Raises:
        ValueError: It is not a positive number.
    """
    value = os.environ.get("FURIOSA_MODELS_THREADS", "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        msg = f"FURIOSA_MODELS_THREADS={value!r} is not a positive number of threads"
        raise ValueError(msg)
    return int(value)


def font() -> str | None:
    """Return the font file for labels in pictures (`FURIOSA_MODELS_FONT`), or None."""
    return os.environ.get("FURIOSA_MODELS_FONT") or None


def mirror() -> str | None:
    """Return the folder or URL to try before any other source (`FURIOSA_MODELS_MIRROR`)."""
    return os.environ.get("FURIOSA_MODELS_MIRROR", "").rstrip("/") or None


def focoos_host() -> str | None:
    """Return the URL of the hub of Focoos (`DEFAULT_HOST_URL`), or None."""
    return os.environ.get("DEFAULT_HOST_URL", "").rstrip("/") or None


def focoos_key() -> str | None:
    """Return the API key for the hub of Focoos (`FOCOOS_API_KEY`), or None."""
    return os.environ.get("FOCOOS_API_KEY") or None


def focoos_key_file() -> tuple[Path, bool]:
    """Return the file with the API key, and whether the user named it (`FOCOOS_API_KEY_FILE`)."""
    if named := os.environ.get("FOCOOS_API_KEY_FILE"):
        return _expanded("FOCOOS_API_KEY_FILE", named), True
    from platformdirs import user_config_path

    return user_config_path("furiosa-models", appauthor=False) / "focoos_api_key", False


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

    # Other users could create a folder with a predictable name first.
    folder = Path(tempfile.mkdtemp(prefix="furiosa-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logging.getLogger(__name__).warning(
        "the user has no home folder: downloads are kept in %s until the process ends; set "
        "FURIOSA_MODELS_CACHE_HOME to a permanent folder",
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
