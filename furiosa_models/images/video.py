"""Frames of video files and cameras, through PyAV: the extra `video`."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..errors import ImageError
from .budget import check_bytes
from .jpeg import TURNED
from .read import DecodedImage, RecentPixels

__all__ = ["SUFFIXES", "VideoFrame", "decode_video", "frames", "is_video"]

Source: TypeAlias = "str | os.PathLike[str] | int"

SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)
"""Endings of the names that `predict` takes for videos."""

_FORMATS = "asf,avi,flv,h264,hevc,m4v,matroska,mov,mpeg,mpegts,mpegvideo,ogg,webm"
_FILES_ALONE = MappingProxyType({"protocol_whitelist": "file", "format_whitelist": _FORMATS})
"""What FFmpeg may do with a file: a playlist under a video's name opens no other file, no URL."""

_HELD = 40  # bytes a pixel: frames that a decoder refers to, and the one that it gives
_ORIENTATIONS = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF orientations by the signs of a display matrix: where x and y of a pixel go."""

_recent = RecentPixels(64 << 20)

_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("vfwcap", "{}"),
}


def is_video(source: object) -> bool:
    """Whether `source` is the name of a video file."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    name = os.fsdecode(os.fspath(source))
    return Path(name).suffix.lower() in SUFFIXES and os.path.isfile(name)  # noqa: PTH113


class VideoFrame:
    """A frame of a video file, which a result holds in place of its pixels.

    Attributes:
        name: Name of the frame, `clip.mp4#0` and so on.
    """

    def __init__(
        self, path: str, index: int, time: int | None, pixels: npt.NDArray[np.uint8]
    ) -> None:
        self.name = f"{path}#{index}"
        self._path = path
        self._index = index
        self._time = time
        self._pixels: weakref.ref[npt.NDArray[np.uint8]] | None = _recent.add(pixels)

    def decode(self) -> DecodedImage:
        """The frame; those of the last few frames are at hand, others are decoded again.

        Raises:
            ImageError: The video cannot be read any more.
        """
        pixels = self._pixels() if self._pixels else None
        if pixels is None:
            pixels = self._read()
        return DecodedImage(pixels, bgr=False, name=self.name, kept=self)

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) uint8, red first."""
        return self.decode().rgb

    def _read(self) -> npt.NDArray[np.uint8]:
        with _opened(self._path, self._path) as container:
            if self._time is not None:
                container.seek(self._time, stream=container.streams.video[0])
                for frame in container.decode(video=0):
                    if frame.pts == self._time:
                        return _pixels(frame, "rgb24")
                    if frame.pts is None or frame.pts > self._time:
                        break
        with _opened(self._path, self._path) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index == self._index:
                    return _pixels(frame, "rgb24")
        msg = f"{self.name!r} is not there any more"
        raise ImageError(msg)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pixels": None}


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
    name = f"camera {source}" if isinstance(source, int) else os.fsdecode(os.fspath(source))
    with _opened(source, name) as container:
        for index, frame in enumerate(container.decode(video=0)):
            pixels = _pixels(frame, layout)
            is_file = layout == "rgb24" and not isinstance(source, int)
            kept = VideoFrame(name, index, frame.pts, pixels) if is_file else None
            yield DecodedImage(pixels, layout == "bgr24", f"{name}#{index}", kept=kept)


def _pixels(frame: Any, layout: str) -> npt.NDArray[np.uint8]:
    """The frame upright, in the colors that its tags say."""
    pixels: npt.NDArray[np.uint8] = frame.to_ndarray(format=layout)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    orientation = _orientation(bytes(matrix)) if matrix is not None else 1
    return TURNED[orientation](pixels) if orientation in TURNED else pixels


def _orientation(matrix: bytes) -> int:
    """The EXIF orientation that is nearest to a display matrix of FFmpeg's."""
    a, b, _, c, d = (int(number) for number in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        b = c = 0
    else:
        a = d = 0
    return _ORIENTATIONS.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


@contextmanager
def _opened(source: Source, name: str) -> Iterator[Any]:
    av = require("av", "videos need PyAV", extra="video")
    try:
        with _open(av, source) as container:
            if not container.streams.video:
                msg = f"{name!r} holds no video"
                raise ImageError(msg)
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            check_bytes(name, _HELD * width * height, width, height)
            stream.thread_type = "AUTO"
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        msg = f"video {name!r} cannot be read: {error}"
        raise ImageError(msg) from error


def _open(av: Any, source: Source) -> Any:
    if isinstance(source, int):
        driver, device = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
        return av.open(device.format(source), format=driver)
    name = os.fsdecode(os.fspath(source))
    if not os.path.isfile(name):  # noqa: PTH113
        return av.open(name)
    # `file:`, or FFmpeg takes what is before a colon for a protocol
    return av.open(f"file:{name}", container_options=dict(_FILES_ALONE))
