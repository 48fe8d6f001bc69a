"""Files of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .base import CHUNK, Sink, SourceError

__all__ = ["copy_local"]


def copy_local(uri: str, sink: Sink) -> None:
    """Copy the file that a `file:` URI or a path names.

    Raises:
        SourceError: The file cannot be read.
    """
    path = Path(url2pathname(urlsplit(uri).path)) if uri.startswith("file:") else Path(uri)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                sink.write(chunk)
    except OSError as error:
        msg = error.strerror or str(error)
        raise SourceError(msg) from error
