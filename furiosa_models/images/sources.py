"""What a source stands for: one photo, or the many of a folder, a glob, a video or a sequence."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from ..errors import ImageError
from . import video
from .read import DecodedImage, ImageSource, is_file_like, is_url

__all__ = ["count", "expand_sources", "is_single"]

_PHOTOS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

Failed = TypeVar("Failed")


def is_single(source: object) -> bool:
    """Whether `source` stands for one photo, rather than a sequence, folder, glob or video."""
    if isinstance(source, np.ndarray):
        return source.ndim < 4
    if isinstance(source, (str, os.PathLike)):
        return not (video.is_video(source) or Path(source).is_dir() or _is_glob(source))
    is_whole = isinstance(source, (bytes, bytearray, memoryview, DecodedImage))
    return is_whole or not isinstance(source, Iterable) or is_file_like(source)


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
            and the error; without it the error is raised.

    Raises:
        ImageError: A folder or glob holds neither image nor video, or a video cannot be read.
        ExtraRequired: There is a video, and PyAV is not installed.
    """
    try:
        if is_single(source):
            yield cast("ImageSource", source)
        elif video.is_video(source):
            yield from video.decode_video(cast("str", source))
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
        return None
    if isinstance(source, (str, os.PathLike)):
        try:
            source = list_files(source)
        except ImageError:
            return 1  # the error
    if not isinstance(source, (Sequence, np.ndarray)):
        return None
    counts = [count(item) for item in source]
    return None if None in counts else sum(cast("list[int]", counts))


def list_files(source: str | os.PathLike[str]) -> list[str]:
    """Photos and videos of a folder, with all below it, or of a glob, by name.

    Raises:
        ImageError: There are none.
    """
    name = os.fspath(source)
    pattern = name if _is_glob(name) else str(Path(glob.escape(name)) / "**" / "*")
    found = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - a pattern of the user's
    wanted = _PHOTOS | video.SUFFIXES
    files = [path for path in found if Path(path).suffix.lower() in wanted]
    if not files:
        msg = f"{name!r} holds no image or video (looked for {', '.join(sorted(wanted))})"
        raise ImageError(msg)
    return files


def _parts(source: Any) -> Iterable[Any]:
    return list_files(source) if isinstance(source, (str, os.PathLike)) else source


def _is_glob(source: str | os.PathLike[str]) -> bool:
    name = os.fspath(source)
    return not is_url(name) and glob.has_magic(name) and not Path(name).exists()
