"""A file on its way into the store: hashed while it is written, visible only when it is right."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from ..errors import ArtifactCorrupted, ArtifactUnavailable
from ..progress import Bar
from .brief import FileFacts
from .sources.base import CHUNK

__all__ = ["Partial", "commit", "write_atomically"]

_READ_ONLY = 0o444


class Partial:
    """The bytes of a file that were received so far; a sink for sources.

    Args:
        path: Where the bytes are gathered. What an interrupted fetch left there is taken up,
            since the final hash says whether it belongs.
        file: What it is to become.
        bar: Told of every byte.

    Attributes:
        path: Where the bytes are gathered.
        pieced: Whether the bytes came in more than one piece.

    Raises:
        ArtifactUnavailable: The disk cannot take the file.
    """

    def __init__(self, path: Path, file: FileFacts, bar: Bar) -> None:
        self.path = path
        self._file = file
        self._bar = bar
        self.pieced = False
        self._position = 0
        self._digest = self._new_digest()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._stream: BinaryIO = path.open("r+b")
        except OSError as error:
            raise _unwritable(path, error) from error
        self._take_up()
        self._check_space()

    @property
    def position(self) -> int:
        """How many bytes are there."""
        return self._position

    @property
    def size(self) -> int:
        """How many bytes there are to be."""
        return self._file.size

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ArtifactCorrupted: They are more than were published.
            ArtifactUnavailable: The disk cannot take them.
        """
        if self._position + len(data) > self._file.size:
            msg = f"more than the published {self._file.size} bytes"
            raise ArtifactCorrupted(msg)
        try:
            self._stream.write(data)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._digest.update(data)
        self._position += len(data)
        self._bar.update(len(data))

    def resume(self) -> None:
        """Learn that what comes next continues what is there."""
        self.pieced = True

    def rewind(self) -> None:
        """Drop what is there, to begin again."""
        self._stream.seek(0)
        self._stream.truncate()
        self._bar.update(-self._position)
        self._position, self._digest, self.pieced = 0, self._new_digest(), False

    def verify(self) -> None:
        """Compare size and hash with what was published.

        Raises:
            ArtifactCorrupted: They differ.
        """
        if self._position != self._file.size:
            msg = f"expected {self._file.size} bytes, got {self._position}"
            raise ArtifactCorrupted(msg)
        if (digest := self._digest.hexdigest()) != self._file.digest:
            msg = f"expected {self._file.algorithm} {self._file.digest}, got {digest}"
            raise ArtifactCorrupted(msg)

    def flush(self) -> None:
        """Let other readers of the file see what was written."""
        try:
            self._stream.flush()
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def commit(self, path: Path) -> None:
        """Make the file visible under `path`, at once and whole."""
        self.flush()
        try:
            commit(self._stream.fileno(), self.path, path)
        except OSError as error:
            raise _unwritable(path, error) from error

    def close(self, *, keep: bool) -> None:
        """Stop; what is there is kept for another time, or removed."""
        self._stream.close()
        if not (keep and self._position):
            self.path.unlink(missing_ok=True)

    def _take_up(self) -> None:
        while chunk := self._stream.read(CHUNK):
            self._digest.update(chunk)
            self._position += len(chunk)
        self._bar.update(self._position)
        if self._position > self._file.size:
            self.rewind()

    def _new_digest(self) -> hashlib._Hash:
        algorithm = self._file.algorithm
        return hashlib.new(algorithm, usedforsecurity=algorithm == "sha256")

    def _check_space(self) -> None:
        wanted = self._file.size - self._position
        free = shutil.disk_usage(self.path.parent).free
        if free < wanted:
            self.close(keep=True)
            msg = (
                f"{self._file.name} needs {wanted / 1e6:.1f} MB and {self.path.parent} has "
                f"{free / 1e6:.1f} MB left: free some, or move the cache with "
                "FURIOSA_MODELS_CACHE_HOME"
            )
            raise ArtifactUnavailable(msg)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees a part of it.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            commit(stream.fileno(), temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def commit(descriptor: int, temporary: Path, path: Path) -> None:
    """Bring a written file to the disk, make it read-only, and give it its name."""
    os.fsync(descriptor)
    temporary.chmod(_READ_ONLY)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's new entry to the disk, where the system can (Windows cannot)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ArtifactUnavailable:
    msg = (
        f"{path} cannot be written ({error.strerror or error}): set FURIOSA_MODELS_CACHE_HOME to "
        "a folder that can, or make room"
    )
    return ArtifactUnavailable(msg)
