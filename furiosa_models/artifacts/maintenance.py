"""Maintenance of a store: list, verify, prune, export and import its files."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArtifactCorrupted, ArtifactUnavailable, CacheNotWritable
from ..progress import progress_bar
from .descriptor import Artifact, File, zoo
from .sources.archives import raise_damaged_as
from .store import Store

__all__ = ["Entry", "entries", "export_to", "import_from", "prune", "remove", "verify"]

_OBJECT = re.compile(r"objects/(sha256|md5)/([0-9a-f]{2})/(\2[0-9a-f]+)")
_NOTE = re.compile(r"derived/([0-9a-f]{2})/\1[0-9a-f]{62}|pins/[0-9a-f]{32}")
_LEFTOVERS = ("partial", "locks", "unreachable")
_MAX_BYTES = 16 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the store.

    Attributes:
        path: Path of the file.
        algorithm: `sha256` or `md5`.
        digest: Its hash, which is also its file name.
        size: Size in bytes.
        name: Name in the catalog; empty for files that were built from other files.
    """

    path: Path
    algorithm: str
    digest: str
    size: int
    name: str


def entries(store: Store) -> list[Entry]:
    """Return every file in the store, sorted by catalog name."""
    names = {file.digest: f"{a.name}/{a.weights} {file.name}" for a, file in _zoo_files()}
    found = []
    for path in (store.root / "objects").glob("*/*/*"):
        match = _OBJECT.fullmatch(path.relative_to(store.root).as_posix())
        if match and path.is_file():  # the store never reads other files
            algorithm, digest = match[1], match[3]
            found.append(Entry(path, algorithm, digest, path.stat().st_size, names.get(digest, "")))
    return sorted(found, key=lambda entry: (not entry.name, entry.name, entry.digest))


def verify(store: Store, *, remove_damaged: bool = False) -> list[Entry]:
    """Return the damaged files of the store: those whose hash does not match their name.

    Args:
        store: The store.
        remove_damaged: Delete damaged files, so that they are fetched again when needed.

    Raises:
        CacheNotWritable: A file cannot be removed.
    """
    everything = entries(store)
    damaged = []
    with progress_bar("verifying", sum(entry.size for entry in everything)) as bar:
        for entry in everything:
            if not store.is_intact(entry.path, entry.algorithm, entry.digest):
                damaged.append(entry)
            bar.update(entry.size)
    if remove_damaged:
        for entry in damaged:
            _unlink(entry.path)
    return damaged


def remove(store: Store, artifacts: Iterable[Artifact]) -> int:
    """Remove the files of some sets of weights; return the number of bytes freed.

    Raises:
        CacheNotWritable: A file cannot be removed.
    """
    digests = {file.digest for artifact in artifacts for file in artifact.all_files}
    chosen = [entry for entry in entries(store) if entry.digest in digests]
    for entry in chosen:
        _unlink(entry.path)
    return sum(entry.size for entry in chosen)


def prune(store: Store, *, built: bool = False) -> int:
    """Remove leftovers of interrupted work. Do not call this while another process fetches.

    Args:
        store: The store.
        built: Also remove files that were built from other files. They are built again when needed.

    Returns:
        The number of bytes freed.

    Raises:
        CacheNotWritable: A file cannot be removed.
    """
    freed = 0
    for folder in (store.root / name for name in _LEFTOVERS):
        freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    for path in store.root.rglob(".part-*"):
        freed += path.stat().st_size
        _unlink(path)
    kept = {path.name for path in (store.root / "objects").glob("*/*/*")}
    for stamp in (store.root / "stamps").glob("*/*"):
        if stamp.name not in kept:
            _unlink(stamp)
    return freed + (_remove_built(store) if built else 0)


def _remove_built(store: Store) -> int:
    """Remove built files and their recorded hashes; return the number of bytes freed."""
    digests = _built_digests(store)
    to_remove = [entry for entry in entries(store) if entry.digest in digests]
    for entry in to_remove:
        _unlink(entry.path)
    shutil.rmtree(store.root / "derived", ignore_errors=True)
    return sum(entry.size for entry in to_remove)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        msg = (
            f"{path} cannot be removed ({error.strerror or error}): ask the owner of the cache, or "
            "set FURIOSA_MODELS_CACHE_HOME to a folder that you can write"
        )
        raise CacheNotWritable(msg) from error


def _built_digests(store: Store) -> set[str | None]:
    """Return the hashes of all files that were built from other files."""
    return {store.digest(note.name) for note in (store.root / "derived").glob("*/*")}


def export_to(store: Store, path: Path) -> int:
    """Write the store's files into a tar file, for a machine without a network.

    Built files are left out, since the other machine can build them again.

    Returns:
        The number of files.

    Raises:
        ArtifactCorrupted: The store contains a damaged file; see `verify`.
        ArtifactUnavailable: The tar file cannot be written.
    """
    if damaged := verify(store):
        msg = f"{len(damaged)} files are damaged, such as {damaged[0].path}: verify the cache first"
        raise ArtifactCorrupted(msg)
    built = _built_digests(store)
    members = [entry.path for entry in entries(store) if entry.digest not in built]
    try:
        with tarfile.open(path, "w") as tar:
            for member in members:
                tar.add(member, str(member.relative_to(store.root)), recursive=False)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise ArtifactUnavailable(msg) from error
    return len(members)


def import_from(store: Store, path: Path) -> int:
    """Import the files of a tar file made by `export_to`; verify each file first.

    Hashes of built files in tar files of older versions are skipped, since they cannot be verified
    without building the files again.

    Returns:
        The number of files.

    Raises:
        ArtifactCorrupted: The file is not such a tar file, or a member does not match its hash.
        ArtifactUnavailable: The file cannot be read, or the store cannot be written.
    """
    count = 0
    try:
        stream = path.open("rb")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise ArtifactUnavailable(msg) from error
    with (
        stream,
        raise_damaged_as(ArtifactCorrupted, str(path)),
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for info in tar:
            if not (info.isreg() and _NOTE.fullmatch(info.name)):
                try:
                    _import_member(store, tar, info)
                except ArtifactCorrupted as error:
                    msg = f"{path}: {error}"
                    raise ArtifactCorrupted(msg) from error
                count += 1
    return count


def _import_member(store: Store, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    match = _OBJECT.fullmatch(info.name)
    # Reject sparse files: 10 kB of tar could expand to a disk full of zeros.
    stream = tar.extractfile(info) if info.isreg() and not info.issparse() else None
    if stream is None or info.size > _MAX_BYTES or match is None:
        msg = f"{info.name!r} has no place in an exported cache"
        raise ArtifactCorrupted(msg)
    try:
        file = File(match[3], info.size, (info.name,), **{match[1]: match[3]})
    except ValueError as error:
        msg = f"{info.name!r} has no place in an exported cache: {error}"
        raise ArtifactCorrupted(msg) from error
    try:
        store.put(file, stream)
    except ArtifactCorrupted as error:
        msg = f"{info.name!r} is damaged and was not imported: {error}; export the cache again"
        raise ArtifactCorrupted(msg) from error


def _zoo_files() -> Iterator[tuple[Artifact, File]]:
    for entry in zoo().values():
        for artifact in entry.sets.values():
            for file in artifact.all_files:
                yield artifact, file
