"""Read files of this machine."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .base import CHUNK, Sink, SourceError

__all__ = ["copy_local"]


def copy_local(uri: str, sink: Sink) -> None:
    """Copy the file at a `file:` URI or path.

    Raises:
        SourceError: The file cannot be read, or is not a regular file: a device or pipe may never
            end.
    """
    try:
        is_uri = uri[:5].lower() == "file:"
        path = Path(url2pathname(urlsplit(uri).path)) if is_uri else Path(uri)
        if not stat.S_ISREG(path.stat().st_mode):
            msg = "it is not a file but a directory, a device or a pipe"
            raise SourceError(msg)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                sink.write(chunk)
    except OSError as error:
        msg = error.strerror or str(error)
        raise SourceError(msg) from error
