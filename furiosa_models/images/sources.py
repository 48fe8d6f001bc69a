"""What a source stands for: one photo, or the many of a folder, a glob, a video or a sequence."""

from __future__ import annotations

import fnmatch
import glob
import logging
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from ..errors import ImageError
from ..progress import log_warning
from . import video
from .formats import suffixes
from .read import DecodedImage, EncodedPhoto, ImageSource, is_file_like, is_url

__all__ = ["count", "expand_sources", "is_same_file", "is_single", "is_static"]

logger = logging.getLogger(__name__)

_NAMED = 5  # files that a line of the log names
_SEPARATOR = re.compile(r"[/\\]" if os.altsep else "/")

Failed = TypeVar("Failed")


def is_single(source: object) -> bool:
    """Whether `source` stands for one photo, rather than a sequence, folder, glob or video."""
    if isinstance(source, np.ndarray):
        return source.ndim < 4
    if isinstance(source, (str, os.PathLike)):
        name = _name(source)
        return not (video.is_video(name) or os.path.isdir(name) or _is_glob(name))  # noqa: PTH112
    is_whole = isinstance(source, (bytes, bytearray, memoryview, DecodedImage, EncodedPhoto))
    return is_whole or not isinstance(source, Iterable) or is_file_like(source)


def is_static(source: object) -> bool:
    """Whether all that `source` stands for is there, and stays as it is while it is worked on.

    Of a list of files more can be read than has been asked for. An iterator may be a camera, which
    gives the next photo when there is one, into the memory of the one before.
    """
    if isinstance(source, (list, tuple)):
        return all(map(is_static, source))
    whole = (str, os.PathLike, np.ndarray, set, frozenset, dict)
    return isinstance(source, whole) or is_single(source)


def is_same_file(path: Path, source: str | os.PathLike[str]) -> bool:
    """Whether a path names the file of a source, by whatever links."""
    try:
        return path.samefile(source)
    except OSError:  # one of them is not there
        return False


def expand_sources(
    source: ImageSource | Iterable[ImageSource],
    *,
    failed: Callable[[Any, Exception], Failed] | None = None,
) -> Generator[ImageSource | Failed, None, None]:
    """Every single photo that `source` stands for, in order; of a video, its frames.

    The photos and videos of folders and globs come by name. A frame comes decoded, and is named
    `clip.mp4#0` and so on.

    Args:
        source: Photos, folders, globs, videos, or a sequence or iterator of them.
        failed: Makes what stands in the place of a part that does not give its photos, of the part
            and the error, and in the place of a damaged frame; without it the error is raised.

    Raises:
        ImageError: A folder or glob holds neither image nor video, or a video cannot be read.
        ExtraRequired: There is a video, and PyAV is not installed.
    """
    try:
        if is_single(source):
            yield cast("ImageSource", source)
        elif video.is_video(source):
            yield from video.decode_video(_name(cast("str", source)), failed=failed)
        else:
            for part in _parts(source):
                yield from expand_sources(part, failed=failed)
    except Exception as error:
        if failed is None:
            raise
        yield failed(source, error)


def count(source: object) -> int | None:
    """Number of photos that `source` stands for, or None where that takes reading it."""
    if is_single(source):
        return 1
    if video.is_video(source):
        return video.frame_count(_name(cast("str", source)))
    if isinstance(source, (str, os.PathLike)):
        files, _ = _list_by_readability(_name(source))
        return count(files) if files else 1  # the error
    if not isinstance(source, (Sequence, np.ndarray)):
        return None
    counts = [count(item) for item in source]
    return None if None in counts else sum(cast("list[int]", counts))


def list_files(source: str | os.PathLike[str]) -> list[str]:
    """Photos and videos of a folder, with all below it, or of a glob, by name; each of them once.

    Names that start with a dot are left out. Links to folders are followed, each folder is visited
    once. A line of the log says which photos are left out because they cannot be read.

    Raises:
        ImageError: There are none.
    """
    name = _name(source)
    files, left_out = _list_by_readability(name)
    if left_out:
        log_warning(logger, "%r: left out %s", name, _summarize(left_out))
    if not files:
        known = ", ".join(sorted(_readable()))
        msg = f"{name!r} holds no image or video (looked for {known})"
        raise ImageError(msg)
    return files


def _readable() -> frozenset[str]:
    return suffixes(readable=True) | video.SUFFIXES


def _list_by_readability(name: str) -> tuple[list[str], list[str]]:
    """The files that are read, and those that are known for photos and are not."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for path in _unique_files(_expand_glob(name) if _is_glob(name) else _walk(name)):
        suffix = Path(path).suffix.lower()
        readable = suffix in _readable()
        if readable or suffix in suffixes(readable=False):
            found[readable].append(path)
    return found[True], found[False]


def _summarize(paths: Sequence[str]) -> str:
    names = ", ".join(repr(path) for path in paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} in formats that are not read here: {names}{more}"


def _unique_files(paths: Iterable[str]) -> list[str]:
    """The files, by name; of a file and the links to it, the file."""
    found = sorted(set(paths))
    real = {path: os.path.realpath(path) for path in found}
    chosen: dict[str, str] = {}
    for path in found:
        if real[path] not in chosen or os.path.islink(chosen[real[path]]):  # noqa: PTH114
            chosen[real[path]] = path
    kept = set(chosen.values())
    return [path for path in found if path in kept]


def _walk(folder: str, *, hidden: bool = False) -> Iterator[str]:
    """The files of a folder and of all below it, each folder once."""
    visited = {_identity(folder)}

    def log_error(error: OSError) -> None:
        log_warning(logger, "%r: left out: %s", error.filename, error.strerror)

    for at, folders, files in os.walk(folder, followlinks=True, onerror=log_error):
        yield from (str(Path(at, file)) for file in files if hidden or not file.startswith("."))
        kept = []
        for inner in sorted(folders):
            identity = _identity(os.path.join(at, inner))  # noqa: PTH118
            if identity not in visited and (hidden or not inner.startswith(".")):
                visited.add(identity)
                kept.append(inner)
        folders[:] = kept


def _identity(folder: str) -> tuple[int, int] | str:
    try:
        found = os.stat(folder)  # noqa: PTH116
    except OSError:
        return folder
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(folder)


def _expand_glob(pattern: str) -> Iterator[str]:
    """The files that a glob names; `**` stands for any folders, each of which is visited once."""
    parts = _SEPARATOR.split(pattern)
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207 - a pattern of the user's
        return
    at = parts.index("**")
    start = "/".join(parts[:at]) or ("/" if at else "")
    hidden = any(part.startswith(".") for part in parts[at:])
    starts = glob.iglob(start) if glob.has_magic(start) else [start]  # noqa: PTH207
    for folder in filter(os.path.isdir, starts) if start else [start]:
        for path in _walk(folder or ".", hidden=hidden):
            inner = os.path.relpath(path, folder or ".")
            if _matches(_SEPARATOR.split(inner), parts[at:]):
                yield os.path.join(folder, inner) if folder else inner  # noqa: PTH118


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern, part by part; wildcards stand for no leading dot."""
    if not pattern:
        return not path
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        if not rest or _matches(path, rest):
            return bool(path)
        return bool(path) and not path[0].startswith(".") and _matches(path[1:], pattern)
    if not path or (path[0].startswith(".") and not first.startswith(".")):
        return False
    return fnmatch.fnmatch(path[0], first) and _matches(path[1:], rest)


def _parts(source: Any) -> Iterable[Any]:
    return list_files(source) if isinstance(source, (str, os.PathLike)) else source


def _is_glob(source: str | os.PathLike[str]) -> bool:
    name = _name(source)
    return not is_url(name) and glob.has_magic(name) and not os.path.exists(name)  # noqa: PTH110


def _name(source: str | os.PathLike[str]) -> str:
    """The name as text; that of a path object may be bytes."""
    return os.fsdecode(os.fspath(source))
