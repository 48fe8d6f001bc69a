"""Files of data sets: untrusted text, JSON, YAML and XML, and the photos of a folder."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree
from xml.parsers import expat

from ..errors import DatasetError, ImageError
from ..images.formats import suffixes
from ..images.size import read_size
from ..labels import parse_yaml
from ..progress import progress_bar

__all__ = [
    "first_folder",
    "in_parallel",
    "is_file",
    "list_photos",
    "naming_errors",
    "printable",
    "read_bytes",
    "read_csv",
    "read_json",
    "read_text",
    "read_xml",
    "read_yaml",
    "sizes_of",
]

MAX_BYTES = 16 << 20
"""Maximum size of a text, YAML or XML file; JSON and CSV of large data sets have no limit."""

_DAMAGED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_MAX_DEPTH = 32
_THREADS = 8

Item = TypeVar("Item")
Found = TypeVar("Found")


def read_bytes(path: Path, *, limit: int | None = MAX_BYTES) -> bytes:
    """Return the contents of a file.

    Raises:
        DatasetError: It cannot be read, or is larger than `limit` bytes.
    """
    try:
        if not path.is_file():  # reading a pipe may block
            path.stat()
            raise DatasetError(_unreadable(path, "it is not a file"))
        if limit is not None and (size := path.stat().st_size) > limit:
            raise DatasetError(_unreadable(path, f"it has {size} bytes, expected at most {limit}"))
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DatasetError(_unreadable(path, error)) from error


def read_text(path: Path, *, limit: int | None = MAX_BYTES) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Raises:
        DatasetError: It cannot be read, is not text, or is larger than `limit` bytes.
    """
    try:
        return read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(_unreadable(path, error)) from error


def read_json(path: Path, kind: str) -> Any:
    """Return the value in a JSON file.

    Args:
        path: The file.
        kind: What it is expected to be, for messages: "a COCO annotation file".

    Raises:
        DatasetError: It cannot be read, or is not JSON.
    """
    text = read_text(path, limit=None)
    with naming_errors(path, kind):
        return json.loads(text)


def read_csv(path: Path, kind: str) -> list[list[str]]:
    """Return the rows of a CSV file, without empty ones.

    Args:
        path: The file.
        kind: What it is expected to be, for messages.

    Raises:
        DatasetError: It cannot be read, or is not CSV.
    """
    text = read_text(path, limit=None)
    with naming_errors(path, kind):
        return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def read_yaml(path: Path, kind: str) -> Any:
    """Return the value in a YAML file; its scalars are strings.

    Args:
        path: The file.
        kind: What it is expected to be, for messages.

    Raises:
        DatasetError: It cannot be read, is not YAML, or has aliases.
    """
    text = read_text(path)
    with naming_errors(path, kind):
        return parse_yaml(text)


def read_xml(path: Path, kind: str) -> ElementTree.Element:
    """Return the root of an XML file, without ever expanding entities.

    Args:
        path: The file.
        kind: What it is expected to be, for messages.

    Raises:
        DatasetError: It cannot be read, is not XML, or declares a document type.
    """
    content = read_bytes(path)
    builder = ElementTree.TreeBuilder()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            msg = f"it has more than {_MAX_DEPTH} levels"
            raise ValueError(msg)
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        msg = "it declares a document type, whose entities may expand to any size"
        raise ValueError(msg)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    with naming_errors(path, kind):
        parser.Parse(content, True)
        return builder.close()


def list_photos(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Return the photos in a folder, sorted by name, without hidden files.

    Args:
        folder: The folder; without one, the list is empty.
        recursive: Whether to include those in its folders, each visited once.

    Raises:
        DatasetError: The folder cannot be listed.
    """
    readable = suffixes(readable=True)
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise DatasetError(_unreadable(folder, error)) from error

    if not folder.is_dir():
        return []
    visited: set[tuple[int, int]] = set()
    for at, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(at).stat()
        place = (status.st_dev, status.st_ino)
        if place in visited:  # through a link
            folders.clear()
            continue
        visited.add(place)
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        kept = (name for name in names if Path(name).suffix.lower() in readable)
        found += [Path(at, name) for name in kept if not name.startswith(".")]
    return sorted(found)


@contextmanager
def naming_errors(path: Path, kind: str) -> Iterator[None]:
    """Convert errors about the contents of a file to a `DatasetError` that names it.

    Args:
        path: The file.
        kind: What it is expected to be.
    """
    try:
        yield
    except DatasetError:
        raise
    except (*_DAMAGED, csv.Error, expat.ExpatError) as error:
        what = "" if type(error) is ValueError else f"{type(error).__name__}: "
        msg = f"{path} is not {kind}: {what}{error}"
        raise DatasetError(msg) from error


def first_folder(name: str, folders: Iterable[Path]) -> Path | None:
    """Return the first folder that has a file of this name, or None."""
    return next((folder for folder in folders if is_file(folder / name)), None)


def is_file(path: Path) -> bool:
    """Return whether there is a file of this name, which may be impossible."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or has a NUL
        return False


def in_parallel(
    function: Callable[[Item], Found], items: list[Item], description: str
) -> Iterator[Found]:
    """Yield the results of a function of each item, in order, computed by threads.

    A progress bar is shown.
    """
    with (
        progress_bar(description, len(items), unit="photos") as bar,
        ThreadPoolExecutor(_THREADS) as threads,
    ):
        for result in threads.map(function, items):
            bar.update()
            yield result


def sizes_of(photos: list[Path]) -> list[tuple[int, int] | None]:
    """Return the width and height of photos from their headers; None for unreadable ones."""

    def size(path: Path) -> tuple[int, int] | None:
        try:
            return read_size(path)
        except ImageError:
            return None

    return list(in_parallel(size, photos, "Sizes of photos"))


def printable(name: str) -> str:
    """Return a name for a message; escape what a terminal might execute."""
    return name if name.isprintable() else repr(name)


def _unreadable(path: Path, reason: object) -> str:
    text = getattr(reason, "strerror", None) or reason
    return f"{path} cannot be read: {text}"
