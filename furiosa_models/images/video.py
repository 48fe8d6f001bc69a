"""Frames of video files and cameras, through PyAV: the extra `video`."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..errors import ImageError
from .read import DecodedImage

__all__ = ["SUFFIXES", "decode_video", "frames", "is_video"]

Source: TypeAlias = "str | os.PathLike[str] | int"

SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)
"""Endings of the names that `predict` takes for videos."""

_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("vfwcap", "{}"),
}


def is_video(source: object) -> bool:
    """Whether `source` is the name of a video file."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    return Path(os.fspath(source)).suffix.lower() in SUFFIXES and Path(source).is_file()


def frames(source: Source) -> Generator[npt.NDArray[np.uint8], None, None]:
    """Frames of a video, one after the other.

    Args:
        source: A video file, the URL of a stream that FFmpeg can read, or the index of a camera.

    Returns:
        A generator of (h, w, 3) uint8 arrays, blue first as in OpenCV and as `predict` takes them;
        closing it closes the file or the camera.

    Raises:
        ExtraRequired: PyAV is not installed.
        ImageError: The video cannot be opened, or is damaged.
    """
    with closing(_decoded(source, "bgr24")) as decoded:
        for frame in decoded:
            yield frame.pixels


def decode_video(source: Source) -> Generator[DecodedImage, None, None]:
    """Frames with their names, `clip.mp4#0` and so on; raises as `frames` does."""
    return _decoded(source, "rgb24")


def _decoded(source: Source, layout: str) -> Generator[DecodedImage, None, None]:
    name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
    with _opened(source, name) as container:
        for index, frame in enumerate(container.decode(video=0)):
            pixels = np.rot90(frame.to_ndarray(format=layout), frame.rotation // 90)
            yield DecodedImage(pixels, layout == "bgr24", f"{name}#{index}")


@contextmanager
def _opened(source: Source, name: str) -> Iterator[Any]:
    av = require("av", "videos need PyAV", extra="video")
    try:
        with _open(av, source) as container:
            if not container.streams.video:
                msg = f"{name!r} holds no video"
                raise ImageError(msg)
            container.streams.video[0].thread_type = "AUTO"
            yield container
    except (av.FFmpegError, OSError) as error:
        msg = f"video {name!r} cannot be read: {error}"
        raise ImageError(msg) from error


def _open(av: Any, source: Source) -> Any:
    if not isinstance(source, int):
        return av.open(os.fspath(source))
    driver, device = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    return av.open(device.format(source), format=driver)
