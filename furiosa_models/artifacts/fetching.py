"""Bringing files into a store: from the first source that delivers the right bytes.

Apart from `store`, because what this needs (locks, HTTP, archives) takes long to import, and a
file that is in the store already needs none of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .. import settings
from ..errors import ArtifactCorrupted, ArtifactError, ArtifactUnavailable
from ..progress import progress_bar
from .brief import FileFacts
from .locks import best_effort_lock
from .partial import Partial, write_atomically
from .sources import SourceError, Sources, redact
from .sources.base import CHUNK
from .store import hash_file, relative

__all__ = ["fetch", "put"]


def fetch(root: Path, file: FileFacts, sources: Sources, has: Callable[[FileFacts], bool]) -> None:
    """Bring a file into the store at `root`.

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
    with _partial(root, file, has) as partial:
        if partial is None:
            return
        for uri in _candidates(file):
            try:
                _receive(uri, sources, partial)
            except (SourceError, ArtifactCorrupted) as error:
                corrupted |= isinstance(error, ArtifactCorrupted)
                failures.append(f"{redact(uri)}: {error}")
            else:
                _commit(root, file, partial)
                return
    raise _failure(file, failures, corrupted=corrupted)


def put(root: Path, file: FileFacts, stream: IO[bytes], has: Callable[[FileFacts], bool]) -> None:
    """Take a file's bytes from a stream; arguments and errors are those of `fetch`."""
    with _partial(root, file, has) as partial:
        if partial is not None:
            partial.rewind()
            while chunk := stream.read(CHUNK):
                partial.write(chunk)
            partial.verify()
            _commit(root, file, partial)


@contextmanager
def _partial(
    root: Path, file: FileFacts, has: Callable[[FileFacts], bool]
) -> Iterator[Partial | None]:
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


def _commit(root: Path, file: FileFacts, partial: Partial) -> None:
    partial.flush()
    _pin(root, file, partial.path)
    partial.commit(root / "objects" / relative(file.algorithm, file.digest))


def _pin(root: Path, file: FileFacts, path: Path) -> None:
    """Hold a file that was published by MD5 alone to the SHA-256 that was seen first.

    Raises:
        ArtifactCorrupted: It has the right MD5 and another SHA-256 than before.
    """
    if file.sha256:
        return
    pin = root / "pins" / file.digest
    seen = hash_file(path, "sha256")
    if not pin.is_file():
        write_atomically(pin, seen.encode())
    elif (pinned := pin.read_text()) != seen:
        msg = f"{file.name}: expected sha256 {pinned}, as seen before, got {seen}"
        raise ArtifactCorrupted(msg)


def _receive(uri: str, sources: Sources, partial: Partial) -> None:
    """Bring the file from one source, in one piece if pieces turn out not to fit together."""
    try:
        sources.copy(uri, partial)
        partial.verify()
    except ArtifactCorrupted:
        pieced = partial.pieced
        partial.rewind()
        if not pieced:
            raise
        sources.copy(uri, partial)
        partial.verify()


def _candidates(file: FileFacts) -> list[str]:
    mirror = settings.mirror()
    mirrored = [f"{mirror}/{relative(file.algorithm, file.digest)}"] if mirror else []
    return [*mirrored, *file.sources]


def _failure(file: FileFacts, failures: list[str], *, corrupted: bool) -> ArtifactError:
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
