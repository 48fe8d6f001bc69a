"""Download files into a store, from the first source that delivers the correct bytes.

A file is hashed while it is written into `partial/`, and renamed into place once it is verified.
This module is separate from `store` because its imports (locks, HTTP, archives) are slow, and files
that are already in the store do not need them.
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
"""Seconds to wait for another process before downloading a file a second time."""

LOCK_WARNING_S = 10.0
"""Seconds to wait for it before logging a warning."""

_READ_ONLY = 0o444
_MAX_BYTES = 2 << 30  # of a file of unknown size


def fetch(root: Path, file: File, sources: Sources, has: Callable[[File], bool]) -> bool:
    """Download a file into the store at `root`; return False if another process was faster.

    Args:
        root: The store's folder.
        file: The file.
        sources: Readers of the file's sources.
        has: Returns whether the store already has a file, perhaps stored by another process.

    Raises:
        ArtifactUnavailable: No source could deliver the file (the message lists every source and
            why), or the store cannot be written.
        ArtifactCorrupted: No source delivered the published bytes.
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
    """Store a file whose bytes come from a stream; return False if another process was faster.

    Args:
        root: The store's folder.
        file: The file.
        stream: The file's bytes.
        has: Returns whether the store already has a file.

    Raises:
        ArtifactUnavailable: The store cannot be written.
        ArtifactCorrupted: The bytes do not match the file's size or hash.
    """
    with _lock_partial(root, file, has) as partial:
        if partial is None:
            return False
        partial.rewind()
        try:
            while chunk := stream.read(CHUNK):
                partial.write(chunk)
            partial.verify()
            _check_pin(root, file, partial.sha256)
        except BaseException:  # a stream cannot be resumed later
            partial.rewind()
            raise
        _commit(root, file, partial)
    return True


@contextmanager
def best_effort_lock(path: Path) -> Iterator[bool]:
    """Hold a file lock if possible; yield whether it is held, and never fail.

    The lock only avoids a second download. Correctness does not depend on it: files are renamed
    into place when complete and are named by their hash, so two writers at once do no harm. The
    lock is given up if the file system has no locks, or if its holder takes too long. The operating
    system releases the locks of a process that dies.

    Args:
        path: The lock file. Its folder is created.
    """
    lock = FileLock(path)
    held = _acquire(lock, path)
    try:
        yield held
    finally:
        if held:
            lock.release()


class Partial:
    """An incomplete download; a sink for sources.

    Args:
        path: File for the bytes. Bytes that an interrupted download left there are kept and
            continued; the final hash tells whether they belong to the file.
        file: The file to download.
        bar: Progress bar.

    Attributes:
        path: File for the bytes.
        was_resumed: Whether the bytes came in more than one piece.

    Raises:
        CacheNotWritable: The disk cannot hold the file.
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
        """Number of bytes written so far."""
        return self._position

    @property
    def size(self) -> int | None:
        """Expected total number of bytes, or None if unknown."""
        return self._file.size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hex."""
        return self._digests["sha256"].hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            ArtifactCorrupted: There are more bytes than were published.
            CacheNotWritable: The disk cannot be written.
        """
        if self._position + len(data) > self._limit:
            msg = f"expected {self._limit} bytes, got more"
            raise ArtifactCorrupted(msg)
        with self._disk_errors():
            self._stream.write(data)
        self._count(data)
        self._bar.update(len(data))

    def resume(self) -> None:
        """Record that the next bytes continue those of an earlier attempt."""
        self.was_resumed = True

    def rewind(self) -> None:
        """Discard the bytes written so far.

        Raises:
            CacheNotWritable: The disk cannot be written.
        """
        with self._disk_errors():
            self._stream.seek(0)
            self._stream.truncate()
        self._bar.update(-self._position)
        self._position, self._digests, self.was_resumed = 0, self._new_digests(), False

    def verify(self) -> None:
        """Compare size and hash with the published ones.

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
        """Atomically move the complete file to `path`.

        Raises:
            CacheNotWritable: The disk cannot be written.
        """
        with self._disk_errors():
            self._stream.flush()
        try:
            _rename(self._stream.fileno(), self.path, path)
        except OSError as error:
            raise _not_writable(path, error) from error

    def close(self, *, keep: bool) -> None:
        """Close the file; keep its bytes for a later attempt if `keep`, or else remove it."""
        with suppress(OSError):  # a later attempt verifies the bytes, or `prune` removes them
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
        """Return new hashers: one that identifies the file, and SHA-256 to pin it."""
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
                f"{free / 1e6:.1f} MB left: free some space, or move the cache with "
                "FURIOSA_MODELS_CACHE_HOME"
            )
            raise CacheNotWritable(msg)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that readers never see a part of it.

    Raises:
        OSError: The file cannot be written. Nothing is left behind.
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
    """Yield a file to download into, locked against other processes; None if the store has it."""
    with best_effort_lock(root / "locks" / f"{file.digest}.lock") as held:
        if has(file):
            yield None
            return
        # Without the lock another process may write the same partial file: use a unique name.
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
    """Check a file that was published by MD5 only against the SHA-256 that was seen first.

    Raises:
        ArtifactCorrupted: It has the same MD5 but another SHA-256 than before.
        CacheNotWritable: The SHA-256 cannot be recorded.
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
            f"expected sha256 {pinned}, as seen before, got {sha256}; if you trust the new file, "
            f"remove {pin}"
        )
        raise ArtifactCorrupted(msg)


def _download(uri: str, sources: Sources, partial: Partial) -> None:
    """Download from one source; start over once if resumed pieces do not fit together."""
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
            f"  {reasons}\nCheck the network (a proxy may answer instead of the server), or set "
            "FURIOSA_MODELS_MIRROR to a folder or URL that has the correct file."
        )
        return ArtifactCorrupted(msg)
    msg = (
        f"{file.name} ({file.size} bytes) is unreachable; every source was tried:\n  {reasons}\n"
        "Check the network, or set FURIOSA_MODELS_MIRROR to a folder or URL that has the file."
    )
    return ArtifactUnavailable(msg)


def _acquire(lock: FileLock, path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():  # some versions of filelock truncate the link's target
            path.unlink()
        return _wait_for(lock, path)
    except (OSError, NotImplementedError) as error:
        logger.info("cannot lock %s (%s): continuing without a lock", path, error)
        return False


def _wait_for(lock: FileLock, path: Path) -> bool:
    with suppress(Timeout):
        lock.acquire(timeout=LOCK_WARNING_S)
        return True
    log_warning(
        logger,
        "another process holds %s: waiting for it, up to %.0f minutes",
        path,
        LOCK_TIMEOUT_S / 60,
    )
    with suppress(Timeout):
        lock.acquire(timeout=max(LOCK_TIMEOUT_S - LOCK_WARNING_S, 0.0))
        return True
    log_warning(logger, "%s was held for over %.0f s: continuing without it", path, LOCK_TIMEOUT_S)
    return False


def _open_partial(path: Path) -> BinaryIO:
    """Open a file for appending; create it if it does not exist. Never follow or share a link.

    Anyone who can write to the folder could place a symbolic or hard link there to overwrite
    another file of the user, or a pipe to block the download.
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
    """Flush a written file to disk, make it read-only, and move it into place."""
    os.fsync(descriptor)
    temporary.chmod(_READ_ONLY)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's new entry to disk, where the system supports it (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _not_writable(path: Path, error: OSError) -> CacheNotWritable:
    msg = (
        f"{path} cannot be written ({error.strerror or error}): set FURIOSA_MODELS_CACHE_HOME to "
        "a writable folder, or free some space"
    )
    return CacheNotWritable(msg)
