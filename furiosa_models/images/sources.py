"""Expand sources: one photo, or many from a folder, glob, video, stream or sequence."""

from __future__ import annotations

import fnmatch
import glob
import logging
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import numpy as np

from ..errors import ImageError
from ..progress import log_warning
from . import video
from .formats import suffixes
from .live import Stream
from .read import DecodedImage, EncodedPhoto, ImageSource, is_file_like, is_url

__all__ = [
    "check_finite",
    "count",
    "expand_sources",
    "is_live",
    "is_same_file",
    "is_single",
    "is_static",
]

logger = logging.getLogger(__name__)

_NAMED = 5  # maximum number of files named in a log message
_SEPARATOR = re.compile(r"[/\\]" if os.altsep else "/")

_SCHEMES = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})
_HTTP = frozenset({"http", "https"})
_HTTP_SUFFIXES = frozenset({".m3u8", ".mjpeg", ".mjpg"})
"""File extensions of HTTP URLs that are streams; other URLs are photos."""

Failed = TypeVar("Failed")


def is_live(source: object) -> bool:
    """Return whether a source is a camera or a stream: an index, a URL or a `Stream`.

    URLs of the schemes rtsp, rtmp, rtp, srt, tcp and udp are streams, as are http(s) URLs that end
    in `.mjpg`, `.mjpeg` or `.m3u8`. `Stream(url)` makes any other URL one.
    """
    if isinstance(source, Stream):
        return True
    if isinstance(source, (int, np.integer)):
        return not isinstance(source, bool)
    if not isinstance(source, str) or "://" not in source:
        return False
    scheme = source.partition(":")[0].lower()
    if scheme in _SCHEMES:
        return True
    return scheme in _HTTP and Path(_path_of(source)).suffix.lower() in _HTTP_SUFFIXES


def is_single(source: object) -> bool:
    """Return whether `source` is one photo, not a sequence, folder, glob, video or stream."""
    if is_live(source):
        return False
    if isinstance(source, np.ndarray):
        return source.ndim < 4
    if isinstance(source, (str, os.PathLike)):
        name = _name(source)
        return not (video.is_video(name) or os.path.isdir(name) or _is_glob(name))  # noqa: PTH112
    is_whole = isinstance(source, (bytes, bytearray, memoryview, DecodedImage, EncodedPhoto))
    return is_whole or not isinstance(source, Iterable) or is_file_like(source)


def is_static(source: object) -> bool:
    """Return whether all photos of `source` exist already and do not change while being processed.

    Static sources, such as lists of files, may be read ahead. An iterator may be a camera, which
    reuses its memory for the next photo.
    """
    if is_live(source):
        return False
    if isinstance(source, (list, tuple)):
        return all(map(is_static, source))
    whole = (str, os.PathLike, np.ndarray, set, frozenset, dict)
    return isinstance(source, whole) or is_single(source)


def check_finite(source: object) -> None:
    """Check that a source is no camera or stream, nor a list with one: their frames never end.

    Raises:
        ValueError: It is.
    """
    for part in source if isinstance(source, (list, tuple)) else (source,):
        if is_live(part):
            msg = f"{part!r} is live and has no end: use predict(..., stream=True)"
            raise ValueError(msg)


def is_same_file(path: Path, source: str | os.PathLike[str]) -> bool:
    """Return whether two paths name the same file, through any links."""
    try:
        return path.samefile(source)
    except OSError:  # one of them does not exist
        return False


def expand_sources(
    source: ImageSource | Iterable[ImageSource] | int,
    *,
    failed: Callable[[Any, Exception], Failed] | None = None,
) -> Generator[ImageSource | Failed, None, None]:
    """Yield every photo of `source` in order; for a video, its frames.

    A camera or stream gives its newest frame each time, and never ends; see `live.Stream`.

    Photos and videos in folders and globs are sorted by name. A video frame is decoded and has a
    name such as `clip.mp4#0`.

    Args:
        source: Photos, folders, globs, videos, streams, or a sequence or iterator of them.
        failed: Called with a source and an error; its return value is yielded in place of the
            photos or frame that cannot be read. By default the error is raised.

    Raises:
        ImageError: A folder or glob has neither images nor videos, or a video cannot be read.
        ExtraRequired: A source is a video, and PyAV is not installed.
    """
    try:
        if is_single(source):
            yield cast("ImageSource", source)
        elif is_live(source):
            stream = source if isinstance(source, Stream) else Stream(cast("str | int", source))
            yield from stream
        elif video.is_video(source):
            yield from video.decode_video(_name(cast("str", source)), failed=failed)
        else:
            for part in _parts(cast("ImageSource", source)):
                yield from expand_sources(part, failed=failed)
    except Exception as error:
        if failed is None:
            raise
        yield failed(source, error)


def count(source: object) -> int | None:
    """Return the number of photos in `source`, or None if that is unknown without reading it."""
    if is_single(source):
        return 1
    if is_live(source):
        return None
    if video.is_video(source):
        return video.frame_count(_name(cast("str", source)))
    if isinstance(source, (str, os.PathLike)):
        files, _ = _list_by_readability(_name(source))
        return count(files) if files else 1  # counts the error
    if not isinstance(source, (Sequence, np.ndarray)):
        return None
    counts = [count(item) for item in source]
    return None if None in counts else sum(cast("list[int]", counts))


def list_files(source: str | os.PathLike[str]) -> list[str]:
    """Return the photos and videos in a folder tree or matching a glob, sorted and unique.

    Hidden files are skipped. Links to folders are followed, and each folder is visited once. Photos
    in unsupported formats are logged and skipped.

    Raises:
        ImageError: There are none.
    """
    name = _name(source)
    files, left_out = _list_by_readability(name)
    if left_out:
        log_warning(logger, "%r: left out %s", name, _summarize(left_out))
    if not files:
        known = ", ".join(sorted(_readable()))
        msg = f"{name!r} contains no image or video (looked for {known})"
        raise ImageError(msg)
    return files


def _readable() -> frozenset[str]:
    return suffixes(readable=True) | video.SUFFIXES


def _list_by_readability(name: str) -> tuple[list[str], list[str]]:
    """Return the files that can be read, and those in known but unsupported formats."""
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
    return f"{len(paths)} in unsupported formats: {names}{more}"


def _unique_files(paths: Iterable[str]) -> list[str]:
    """Return the files sorted by name; prefer a file over links to it."""
    found = sorted(set(paths))
    real = {path: os.path.realpath(path) for path in found}
    chosen: dict[str, str] = {}
    for path in found:
        if real[path] not in chosen or os.path.islink(chosen[real[path]]):  # noqa: PTH114
            chosen[real[path]] = path
    kept = set(chosen.values())
    return [path for path in found if path in kept]


def _walk(folder: str, *, hidden: bool = False) -> Iterator[str]:
    """Yield the files in a folder tree; visit each folder once."""
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
    """Yield the files matched by a glob; `**` matches any folders, each visited once."""
    parts = _SEPARATOR.split(pattern)
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207 - the pattern may be absolute
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
    """Return whether path parts match pattern parts; wildcards do not match a leading dot."""
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
    """Return the path as a string; path objects may hold bytes."""
    return os.fsdecode(os.fspath(source))


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # such as http://[
        return ""
