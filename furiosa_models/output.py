"""Files and folders on disk: complete or absent, also if the process is killed.

Only `replace_file` and `replacement` replace something.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import FuriosaModelsError

__all__ = ["check_new_folder", "new_file", "new_folder", "replace_file", "replacement"]


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a temporary file, which becomes `path` if the block raises nothing.

    So do other files that the block writes beside it. Parent folders are created.

    Raises:
        FuriosaModelsError: `path` exists already, or cannot be written.
    """
    target = Path(path)
    if target.exists():
        raise _already_exists(target, "file")
    with _partial(target) as folder:
        partial = folder / target.name
        yield partial
        beside = [each for each in folder.iterdir() if each != partial]
        for each in (*beside, partial):
            _move(each, target.with_name(each.name))


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `path` if the block raises nothing.

    Parent folders are created.

    Raises:
        FuriosaModelsError: `path` exists and is not an empty folder, or cannot be written.
    """
    target = Path(path)
    check_new_folder(target)
    with _partial(target) as folder:
        partial = folder / target.name
        partial.mkdir()
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)


def check_new_folder(path: Path) -> None:
    """Check that a folder does not exist, or is empty.

    Raises:
        FuriosaModelsError: It exists and is not an empty folder.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise _already_exists(path, "folder")


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that may exist already; see `replacement`."""
    with replacement(path) as file:
        file.write(data)


@contextmanager
def replacement(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file to write to, which becomes `path`, even if that exists already.

    Parent folders are created. Several processes may replace a file at once: the last one wins.

    Raises:
        FuriosaModelsError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}-{secrets.token_hex(4)}.partial")
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise FuriosaModelsError(msg) from error


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `target`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror or error}"
        raise FuriosaModelsError(msg) from error


def _move(partial: Path, target: Path) -> None:
    """Move a file to a name that does not exist."""
    try:
        os.link(partial, target)  # unlike a rename, fails if the file exists by now
    except FileExistsError:
        raise _already_exists(target, "file") from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise _already_exists(target, "file") from None
        partial.rename(target)


def _already_exists(target: Path, kind: str) -> FuriosaModelsError:
    return FuriosaModelsError(f"{target} already exists: save to a new {kind}, or remove it first")
