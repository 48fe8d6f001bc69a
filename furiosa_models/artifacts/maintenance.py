"""Looking after a store: what is in it, whether it is sound, making room, moving it."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArtifactCorrupted, ArtifactUnavailable
from ..progress import progress_bar
from .descriptor import Artifact, File, zoo
from .sources.archives import damage_as
from .store import Store, hash_file
from .transfer import write_atomically

__all__ = ["Entry", "entries", "export_to", "import_from", "prune", "remove", "verify"]

_OBJECT = re.compile(r"objects/(sha256|md5)/([0-9a-f]{2})/(\2[0-9a-f]+)")
_NOTE = re.compile(r"derived/([0-9a-f]{2})/\1[0-9a-f]{62}|pins/[0-9a-f]{32}")
_NOTE_TEXT = re.compile(rb"[0-9a-f]{64}")
_LEFTOVERS = ("partial", "locks", "unreachable")
_MAX_BYTES = 16 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the store.

    Attributes:
        path: Where it is.
        algorithm: `sha256` or `md5`.
        digest: Its hash, and name.
        size: Size in bytes.
        name: What the catalog calls it; empty for what was built from other files.
    """

    path: Path
    algorithm: str
    digest: str
    size: int
    name: str


def entries(store: Store) -> list[Entry]:
    """Return every file of the store, in the catalog's order of names."""
    names = {file.digest: f"{a.name}/{a.weights} {file.name}" for a, file in _zoo_files()}
    found = []
    for path in sorted((store.root / "objects").glob("*/*/*")):
        if not path.name.startswith("."):
            size, algorithm = path.stat().st_size, path.parts[-3]
            found.append(Entry(path, algorithm, path.name, size, names.get(path.name, "")))
    return sorted(found, key=lambda entry: (not entry.name, entry.name, entry.digest))


def verify(store: Store, *, remove_damaged: bool = False) -> list[Entry]:
    """Return the damaged files of the store: those whose bytes no longer have their hash.

    Args:
        store: The store.
        remove_damaged: Remove them, so that they are fetched anew when they are needed.
    """
    everything = entries(store)
    damaged = []
    with progress_bar("verifying", sum(entry.size for entry in everything)) as bar:
        for entry in everything:
            if not _is_sound(store, entry):
                damaged.append(entry)
            bar.update(entry.size)
    if remove_damaged:
        for entry in damaged:
            entry.path.unlink(missing_ok=True)
    return damaged


def remove(store: Store, artifacts: Iterable[Artifact]) -> int:
    """Remove the files of some sets of weights; return the bytes that were freed."""
    digests = {file.digest for artifact in artifacts for file in artifact.all_files}
    chosen = [entry for entry in entries(store) if entry.digest in digests]
    for entry in chosen:
        entry.path.unlink(missing_ok=True)
    return sum(entry.size for entry in chosen)


def prune(store: Store, *, built: bool = False) -> int:
    """Remove leftovers of interrupted work. Not for while others fetch.

    Args:
        store: The store.
        built: Remove what was built from other files, too: it is built again when it is needed,
            and what older code built is not needed any more.

    Returns:
        The bytes that were freed.
    """
    freed = 0
    for folder in (store.root / name for name in _LEFTOVERS):
        freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    for path in store.root.rglob(".part-*"):
        freed += path.stat().st_size
        path.unlink(missing_ok=True)
    for note in (store.root / "derived").glob("*/*"):
        derived = store.derived(note.name)
        if derived is None or built:
            note.unlink(missing_ok=True)
        if derived is not None and built:
            freed += derived.stat().st_size
            derived.unlink(missing_ok=True)
    return freed


def export_to(store: Store, path: Path) -> int:
    """Write the store into one tar file, for a machine without a network.

    Returns:
        The number of files.

    Raises:
        ArtifactCorrupted: The store holds a damaged file; see `verify`.
        ArtifactUnavailable: The tar file cannot be written.
    """
    if damaged := verify(store):
        msg = f"{len(damaged)} files are damaged, {damaged[0].path} for one: verify the cache first"
        raise ArtifactCorrupted(msg)
    members = [entry.path for entry in entries(store)]
    members += [p for name in ("derived", "pins") for p in sorted((store.root / name).rglob("*"))]
    members = [member for member in members if member.is_file()]
    try:
        with tarfile.open(path, "w") as tar:
            for member in members:
                tar.add(member, str(member.relative_to(store.root)), recursive=False)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise ArtifactUnavailable(msg) from error
    return len(members)


def import_from(store: Store, path: Path) -> int:
    """Take the files of a tar file that `export_to` wrote, each verified first.

    Returns:
        The number of files.

    Raises:
        ArtifactCorrupted: It is no such tar file, or a file in it does not have its hash.
        ArtifactUnavailable: It cannot be read, or the store cannot take a file.
    """
    count = 0
    try:
        stream = path.open("rb")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise ArtifactUnavailable(msg) from error
    with (
        stream,
        damage_as(ArtifactCorrupted, str(path)),
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for info in tar:
            _import_member(store, tar, info)
            count += 1
    return count


def _import_member(store: Store, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    match = _OBJECT.fullmatch(info.name)
    stream = tar.extractfile(info) if info.isreg() else None
    if stream is None or info.size > _MAX_BYTES or not (match or _NOTE.fullmatch(info.name)):
        msg = f"{info.name!r} has no place in an export of a cache"
        raise ArtifactCorrupted(msg)
    if match is None:
        _import_note(store.root / info.name, stream.read(65))
        return
    try:
        file = File(match[3], info.size, (info.name,), **{match[1]: match[3]})
    except ValueError as error:
        msg = f"{info.name!r} has no place in an export of a cache: {error}"
        raise ArtifactCorrupted(msg) from error
    store.put(file, stream)


def _import_note(path: Path, text: bytes) -> None:
    if not _NOTE_TEXT.fullmatch(text):
        msg = f"{path.name} should hold a SHA-256, and holds {text[:70]!r}"
        raise ArtifactCorrupted(msg)
    write_atomically(path, text)


def _is_sound(store: Store, entry: Entry) -> bool:
    if hash_file(entry.path, entry.algorithm) != entry.digest:
        return False
    pin = store.root / "pins" / entry.digest
    return not pin.is_file() or pin.read_text() == hash_file(entry.path, "sha256")


def _zoo_files() -> Iterator[tuple[Artifact, File]]:
    for entry in zoo().values():
        for artifact in entry.sets.values():
            for file in artifact.all_files:
                yield artifact, file
