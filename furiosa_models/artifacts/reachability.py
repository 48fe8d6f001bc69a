"""Remember which files were unreachable, and under which settings.

Such a note avoids waiting again for sources that have just failed. It is valid for an hour, and
only while everything that decides reachability is unchanged: mirror, proxies, package indexes,
credentials and installed clients. Their values are stored as a hash, because some are secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from .. import settings

__all__ = ["NOTE_LIFETIME_S", "fingerprint", "record_unreachable", "was_unreachable"]

NOTE_LIFETIME_S = 3600.0
"""Seconds that a note is valid."""

_VARIABLES = ("CURL_CA_BUNDLE", "GITHUB_SERVER_URL", "REQUESTS_CA_BUNDLE")
_PREFIXES = ("AWS_", "GCS_", "GOOGLE_", "HF_", "NPM_CONFIG_", "PIP_", "SSL_CERT_", "UV_")
_FILES = (
    "~/.aws/config",
    "~/.aws/credentials",
    "~/.config/pip/pip.conf",
    "~/.netrc",
    "~/.npmrc",
    "~/.pip/pip.conf",
    "~/Library/Application Support/pip/pip.conf",
    "~/pip/pip.ini",
    "/etc/pip.conf",
)


def record_unreachable(root: Path, digest: str) -> None:
    """Record in the store at `root` that a file is unreachable, if the store is writable."""
    from .transfer import write_atomically  # slow to import

    with suppress(OSError):  # only an optimization
        write_atomically(root / "unreachable" / digest, fingerprint().encode())


def was_unreachable(root: Path, digest: str) -> bool:
    """Return whether a file was unreachable within the last hour, under the current settings.

    Notes with a time in the future are ignored: another clock wrote them.
    """
    path = root / "unreachable" / digest
    try:
        age = time.time() - path.stat().st_mtime
        return 0 <= age < NOTE_LIFETIME_S and path.read_bytes() == fingerprint().encode()
    except OSError:
        return False


def fingerprint() -> str:
    """Return a hash of everything that decides which sources can be reached."""
    found = {
        "mirror": settings.mirror(),
        "offline": os.environ.get("FURIOSA_MODELS_OFFLINE"),
        "environment": sorted(
            item for item in os.environ.items() if _affects_reachability(item[0].upper())
        ),
        "files": [_file_state(name) for name in _FILES],
        "npm": shutil.which("npm"),
        "clients": [_is_installed(name) for name in ("fsspec", "s3fs", "gcsfs")],
    }
    return hashlib.sha256(json.dumps(found).encode("utf-8", "surrogateescape")).hexdigest()


def _affects_reachability(name: str) -> bool:
    return name in _VARIABLES or name.startswith(_PREFIXES) or name.endswith("_PROXY")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module without a spec, created at run time
        return True


def _file_state(name: str) -> tuple[int, int] | None:
    try:
        found = Path(name).expanduser().stat()
    except (OSError, RuntimeError):  # the file or the user's home is missing
        return None
    return found.st_mtime_ns, found.st_size
