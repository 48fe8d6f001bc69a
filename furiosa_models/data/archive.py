"""Unpack the archive of a data set beside it."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ..artifacts.sources.archives import raise_damaged_as
from ..errors import DatasetError
from ..output import new_folder
from ..progress import progress_bar
from .part import part_folders

__all__ = ["is_archive", "unpack", "unpacked_folder"]

_SUFFIXES = (".tar.gz", ".tgz", ".gz", ".zip")
_CHUNK = 1 << 20


def is_archive(name: str) -> bool:
    """Return whether a file of this name is an archive that can be unpacked: zip, tar.gz."""
    return name.lower().endswith(_SUFFIXES)


def unpacked_folder(archive: Path) -> Path:
    """Return the folder that an archive is unpacked into: its name without the suffix."""
    suffix = next(each for each in _SUFFIXES if archive.name.lower().endswith(each))
    return archive.with_name(archive.name[: -len(suffix)])


def unpack(archive: Path) -> Path:
    """Unpack an archive into a new folder beside it, and return the folder.

    If the folder exists, it is returned as it is, as the archive was unpacked before. An archive
    that only contains a folder is that folder.

    Raises:
        DatasetError: The archive is damaged, does not fit on the disk, or contains links or paths
            outside it.
        FuriosaModelsError: The folder cannot be written.
    """
    folder = unpacked_folder(archive)
    if not (folder.is_dir() and any(folder.iterdir())):
        if not archive.is_file():
            msg = f"{archive} does not exist: expected the archive of a data set"
            raise DatasetError(msg)
        with new_folder(folder) as partial, raise_damaged_as(DatasetError, str(archive)):
            _extract(archive, partial)
    return _inner(folder)


def _inner(folder: Path) -> Path:
    """Return the only folder in a folder, unless it is a part of the data set; or the folder.

    Folders that macOS adds do not count.
    """
    entries = [each for each in folder.iterdir() if each.name[0] not in "._"]
    is_inside = len(entries) == 1 and entries[0].is_dir() and not part_folders(folder)
    return entries[0] if is_inside else folder


def _extract(archive: Path, folder: Path) -> None:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            members = [member for member in zipped.infolist() if not member.is_dir()]
            _check_space(archive, sum(member.file_size for member in members), folder)
            with progress_bar(f"Unpacking {archive.name}", len(members), unit="files") as bar:
                for member in members:
                    _check_link(archive, member.filename, is_link=member.external_attr >> 28 == 0xA)
                    with zipped.open(member) as file:
                        _write(archive, file, folder, member.filename)
                    bar.update()
        return
    with tarfile.open(archive, "r:gz") as tar, progress_bar(archive.name, None) as bar:
        for info in tar:
            _check_link(archive, info.name, is_link=not (info.isreg() or info.isdir()))
            if info.isreg() and (content := tar.extractfile(info)) is not None:
                _check_space(archive, info.size, folder)
                _write(archive, content, folder, info.name)
                bar.update(info.size)


def _write(archive: Path, file: IO[bytes], folder: Path, name: str) -> None:
    """Write a member, whose name must not lead out of the folder."""
    parts = PurePosixPath(name).parts
    is_outside = ".." in parts or name.startswith("/") or "\\" in name or "\0" in name
    if is_outside or not parts or PureWindowsPath(name).drive:
        msg = f"{archive} contains {name[:80]!r}, which is not a path in a folder: not unpacked"
        raise DatasetError(msg)
    target = folder.joinpath(*parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            shutil.copyfileobj(file, out, _CHUNK)
    except OSError as error:
        msg = f"{name[:80]!r} in {archive} cannot be unpacked: {error.strerror or error}"
        raise DatasetError(msg) from error


def _check_link(archive: Path, name: str, *, is_link: bool) -> None:
    if is_link:
        msg = f"{archive} contains {name[:80]!r}, which is a link or a device: not unpacked"
        raise DatasetError(msg)


def _check_space(archive: Path, needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        msg = f"{archive} takes {needed} bytes when unpacked, but only {free} are free"
        raise DatasetError(msg)
