"""How files come into a store: from the first source that delivers the right bytes.

A file is hashed while it is written into `partial/`, and gets its name by a rename once it is
right. Apart from `store`, because what this needs (locks, HTTP, archives) takes long to import, and
a file that is in the store already needs none of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from filelock import FileLock, Timeout

from .. import settings
from ..errors import ArtifactCorrupted, ArtifactError, ArtifactUnavailable, CacheNotWritable
from ..progress import Bar, log_warning, progress_bar
from .descriptor import File, object_path, read_pin
from .sources import SourceError, Sources, redact
from .sources.base import CHUNK

__all__ = ["LOCK_TIMEOUT_S", "Partial", "best_effort_lock", "fetch", "put", "write_atomically"]

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 3600.0
"""How long to wait for another process before doing its work a second time."""

LOCK_WARNING_S = 10.0
"""How long to wait for it before saying so."""

_READ_ONLY = 0o444
_MAX_BYTES = 2 << 30  # of a file whose size is not known


def fetch(root: Path, file: File, sources: Sources, has: Callable[[File], bool]) -> bool:
    """Bring a file into the store at `root`; return False if another process was faster.

    Args:
        root: The store's folder.
        file: The file.
        sources: Where bytes come from.
        has: Says whether the store has a file by now; another process may be faster.

    Raises:
        ArtifactUnavailable: No source could deliver it (names each one and its reason), or the
            store cannot take it.
        ArtifactCorrupted: No source delivered the bytes that were published.
    """
    failures: list[str] = []
    corrupted = False
    with _lock_partial(root, file, has) as partial:
        if partial is None:
            return False
        for uri in _candidates(file):
            try:
                _download(uri, sources, partial)
                _check_pin(root, file, partial.sha256)
            except (SourceError, ArtifactCorrupted) as error:
                if isinstance(error, ArtifactCorrupted):
                    corrupted = True
                    partial.rewind()
                failures.append(f"{redact(uri)}: {error}")
            else:
                _commit(root, file, partial)
                return True
    raise _failure(file, failures, corrupted=corrupted)


def put(root: Path, file: File, stream: IO[bytes], has: Callable[[File], bool]) -> bool:
    """Take a file's bytes from a stream; arguments, result and errors are those of `fetch`."""
    with _lock_partial(root, file, has) as partial:
        if partial is None:
            return False
        partial.rewind()
        try:
            while chunk := stream.read(CHUNK):
                partial.write(chunk)
            partial.verify()
            _check_pin(root, file, partial.sha256)
        except BaseException:  # a stream is not continued another time
            partial.rewind()
            raise
        _commit(root, file, partial)
    return True


@contextmanager
def best_effort_lock(path: Path) -> Iterator[bool]:
    """Hold a lock if that can be had; yield whether it is held, and never fail.

    It spares a second download, and nothing depends on it: what is written is renamed into place
    whole and named by its hash, so that two writers at once do no harm. A lock may therefore be
    given up: where the file system has none, and where its holder takes too long. The operating
    system frees the lock of a process that dies.

    Args:
        path: The lock's file; its folder is made.
    """
    lock = FileLock(path)
    held = _acquire(lock, path)
    try:
        yield held
    finally:
        if held:
            lock.release()


class Partial:
    """The bytes of a file that were received so far; a sink for sources.

    Args:
        path: Where the bytes are gathered. What an interrupted fetch left there is taken up,
            since the final hash says whether it belongs.
        file: What it is to become.
        bar: Told of every byte.

    Attributes:
        path: Where the bytes are gathered.
        was_resumed: Whether the bytes came in more than one piece.

    Raises:
        CacheNotWritable: The disk cannot take the file.
    """

    def __init__(self, path: Path, file: File, bar: Bar) -> None:
        self.path = path
        self._file = file
        self._bar = bar
        self.was_resumed = False
        self._limit = _MAX_BYTES if file.size is None else file.size
        self._position = 0
        self._digests = self._new_digests()
        with self._disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = _open_partial(path)
            self._load_existing()
        self._check_space()

    @property
    def position(self) -> int:
        """How many bytes are there."""
        return self._position

    @property
    def size(self) -> int | None:
        """How many bytes there are to be, where that is known."""
        return self._file.size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes that are there, in hex."""
        return self._digests["sha256"].hexdigest()

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ArtifactCorrupted: They are more than were published.
            CacheNotWritable: The disk cannot take them.
        """
        if self._position + len(data) > self._limit:
            msg = f"more than the published {self._limit} bytes"
            raise ArtifactCorrupted(msg)
        with self._disk_errors():
            self._stream.write(data)
        self._count(data)
        self._bar.update(len(data))

    def resume(self) -> None:
        """Learn that what comes next continues what is there."""
        self.was_resumed = True

    def rewind(self) -> None:
        """Drop what is there, to begin again; raises `ArtifactUnavailable` as `write` does."""
        with self._disk_errors():
            self._stream.seek(0)
            self._stream.truncate()
        self._bar.update(-self._position)
        self._position, self._digests, self.was_resumed = 0, self._new_digests(), False

    def verify(self) -> None:
        """Compare size and hash with what was published.

        Raises:
            ArtifactCorrupted: They differ.
        """
        if self._position != (self._file.size or self._position):
            msg = f"expected {self._file.size} bytes, got {self._position}"
            raise ArtifactCorrupted(msg)
        digest = self._digests[self._file.algorithm].hexdigest()
        if digest != self._file.digest:
            msg = f"expected {self._file.algorithm} {self._file.digest}, got {digest}"
            raise ArtifactCorrupted(msg)

    def commit(self, path: Path) -> None:
        """Make the file visible under `path`, at once and whole; raises as `write` does."""
        with self._disk_errors():
            self._stream.flush()
        try:
            _rename(self._stream.fileno(), self.path, path)
        except OSError as error:
            raise _not_writable(path, error) from error

    def close(self, *, keep: bool) -> None:
        """Stop; what is there is kept for another time, or removed, where the disk lets."""
        with suppress(OSError):  # a leftover, whose end is lost or which `prune` removes
            self._stream.close()
        if not (keep and self._position):
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _not_writable(self.path, error) from error

    def _load_existing(self) -> None:
        if os.fstat(self._stream.fileno()).st_size > self._limit:
            self._stream.truncate(0)
        while chunk := self._stream.read(CHUNK):
            self._count(chunk)
        self._bar.update(self._position)

    def _count(self, data: bytes) -> None:
        for digest in self._digests.values():
            digest.update(data)
        self._position += len(data)

    def _new_digests(self) -> dict[str, hashlib._Hash]:
        """The hash that identifies the file, and SHA-256, which it is pinned to otherwise."""
        return {
            algorithm: hashlib.new(algorithm, usedforsecurity=algorithm == "sha256")
            for algorithm in {self._file.algorithm, "sha256"}
        }

    def _check_space(self) -> None:
        missing = (self._file.size or 0) - self._position
        with self._disk_errors():
            free = shutil.disk_usage(self.path.parent).free
        if free < missing:
            self.close(keep=True)
            msg = (
                f"{self._file.name} needs {missing / 1e6:.1f} MB and {self.path.parent} has "
                f"{free / 1e6:.1f} MB left: free some, or move the cache with "
                "FURIOSA_MODELS_CACHE_HOME"
            )
            raise CacheNotWritable(msg)


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
            _rename(stream.fileno(), temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _lock_partial(root: Path, file: File, has: Callable[[File], bool]) -> Iterator[Partial | None]:
    """The file to be, locked against other processes; None if it is there by now."""
    with best_effort_lock(root / "locks" / f"{file.digest}.lock") as held:
        if has(file):
            yield None
            return
        # Without the lock nobody else may write into the same partial file.
        name = file.digest if held else f"{file.digest}-{uuid.uuid4().hex}"
        with progress_bar(file.name, file.size) as bar:
            partial = Partial(root / "partial" / name, file, bar)
            try:
                yield partial
            finally:
                partial.close(keep=held)


def _commit(root: Path, file: File, partial: Partial) -> None:
    partial.commit(root / "objects" / object_path(file.algorithm, file.digest))


def _check_pin(root: Path, file: File, sha256: str) -> None:
    """Hold a file that was published by MD5 alone to the SHA-256 that was seen first.

    Raises:
        ArtifactCorrupted: It has the right MD5 and another SHA-256 than before.
        ArtifactUnavailable: The disk cannot take the note.
    """
    if file.sha256:
        return
    pin = root / "pins" / file.digest
    try:
        pinned = read_pin(pin)
        if pinned is None:
            write_atomically(pin, sha256.encode())
    except OSError as error:
        raise _not_writable(pin, error) from error
    if pinned not in (None, sha256):
        msg = (
            f"expected sha256 {pinned}, as seen before ({pin}), got {sha256}; remove the file in "
            "parentheses if you trust what is there now"
        )
        raise ArtifactCorrupted(msg)


def _download(uri: str, sources: Sources, partial: Partial) -> None:
    """Bring the file from one source, in one piece if pieces turn out not to fit together."""
    try:
        sources.copy(uri, partial)
        partial.verify()
    except ArtifactCorrupted:
        was_resumed = partial.was_resumed
        partial.rewind()
        if not was_resumed:
            raise
        sources.copy(uri, partial)
        partial.verify()


def _candidates(file: File) -> list[str]:
    mirror = settings.mirror()
    mirrored = [f"{mirror}/{object_path(file.algorithm, file.digest)}"] if mirror else []
    return [*mirrored, *file.sources]


def _failure(file: File, failures: list[str], *, corrupted: bool) -> ArtifactError:
    reasons = "\n  ".join(failures)
    if corrupted:
        msg = (
            f"{file.name}: no source delivered the published bytes; nothing was kept.\n"
            f"  {reasons}\nCheck the network path (a proxy may answer in the server's place), or "
            "set FURIOSA_MODELS_MIRROR to a place that has the right file."
        )
        return ArtifactCorrupted(msg)
    msg = (
        f"{file.name} ({file.size} bytes) is out of reach; every source was tried:\n  {reasons}\n"
        "Check the network, or set FURIOSA_MODELS_MIRROR to a folder or URL that has the file."
    )
    return ArtifactUnavailable(msg)


def _acquire(lock: FileLock, path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():  # some versions of the library would empty what it leads to
            path.unlink()
        return _wait_for(lock, path)
    except (OSError, NotImplementedError) as error:
        logger.info("no lock %s (%s): going on without it", path, error)
        return False


def _wait_for(lock: FileLock, path: Path) -> bool:
    with suppress(Timeout):
        lock.acquire(timeout=LOCK_WARNING_S)
        return True
    log_warning(
        logger,
        "another process holds %s: waiting for it, for %.0f minutes at most",
        path,
        LOCK_TIMEOUT_S / 60,
    )
    with suppress(Timeout):
        lock.acquire(timeout=max(LOCK_TIMEOUT_S - LOCK_WARNING_S, 0.0))
        return True
    log_warning(
        logger, "%s is held for longer than %.0f s: going on without it", path, LOCK_TIMEOUT_S
    )
    return False


def _open_partial(path: Path) -> BinaryIO:
    """Open a file to continue it, made if it is not there; never one that is elsewhere, too.

    Whoever may write into the folder could put a link there, symbolic or hard, to have a file of
    the user's overwritten; or a pipe, to have the fetch wait.
    """
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            path.unlink()
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+b")


def _rename(descriptor: int, temporary: Path, path: Path) -> None:
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


def _not_writable(path: Path, error: OSError) -> CacheNotWritable:
    msg = (
        f"{path} cannot be written ({error.strerror or error}): set FURIOSA_MODELS_CACHE_HOME to "
        "a folder that can, or make room"
    )
    return CacheNotWritable(msg)
