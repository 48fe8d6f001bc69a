"""Read frames of video files and cameras with PyAV: the extra `video`."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..artifacts.sources import without_password
from ..errors import ExtraRequired, ImageError
from ..runtime.machine import workers
from .jpeg import UPRIGHT_TRANSFORMS
from .limits import check_bytes
from .read import DecodedImage, RecentPixels

__all__ = [
    "SUFFIXES",
    "VideoFormat",
    "VideoFrame",
    "damaged_or_frames",
    "decode_video",
    "frame_count",
    "frames",
    "is_video",
    "open_video",
    "start_time",
    "upright_pixels",
    "video_format",
]

Source: TypeAlias = "str | os.PathLike[str] | int"
Failed = TypeVar("Failed")

SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)
"""File extensions that `predict` treats as videos."""

_FORMATS = "asf,avi,flv,h264,hevc,m4v,matroska,mov,mpeg,mpegts,mpegvideo,ogg,webm"
_LOCAL_FILE_OPTIONS = MappingProxyType({"protocol_whitelist": "file", "format_whitelist": _FORMATS})
"""FFmpeg options for local files: a playlist must not open other files or URLs."""

_DECODER_BYTES_PER_PIXEL = 40  # reference frames and the output frame
_ORIENTATIONS = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF orientations by the signs of a display matrix."""

_SIDEWAYS = frozenset({5, 6, 7, 8})

_recent = RecentPixels(64 << 20, min_frames=workers() + 4)
"""Pixels of the last frames, as many as may be read ahead of the frame being drawn."""

_DEFAULT_RATE = Fraction(25)  # for videos without a frame rate

_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("vfwcap", "{}"),
}


_TIMEOUT_S = (10.0, 10.0)
"""Longest time to open a stream, and to wait for its next packet."""


def is_video(source: object) -> bool:
    """Return whether `source` is the name of an existing video file."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    name = os.fsdecode(os.fspath(source))
    return Path(name).suffix.lower() in SUFFIXES and os.path.isfile(name)  # noqa: PTH113


class VideoFormat(NamedTuple):
    """Properties of a video, apart from its size.

    Attributes:
        rate: Average frame rate, in frames per second.
        time_base: Unit of its timestamps, in seconds.
        aspect: Pixel aspect ratio (width over height) of upright frames.
    """

    rate: Fraction
    time_base: Fraction
    aspect: Fraction


class VideoFrame:
    """A reference to a frame of a video file. Results hold it instead of pixels.

    Attributes:
        name: Name of the frame, such as `clip.mp4#0`.
        path: The video file.
        index: Number of the frame, from 0.
        time: Timestamp in seconds from the start of the video; None if the file has none.
    """

    def __init__(
        self,
        path: str,
        index: int,
        pts: int | None,
        time: Fraction | None,
        pixels: npt.NDArray[np.uint8],
    ) -> None:
        self.name = f"{path}#{index}"
        self.path = path
        self.index = index
        self.time = time
        self._pts = pts
        self._pixels: weakref.ref[npt.NDArray[np.uint8]] | None = _recent.add(pixels)

    def decode(self) -> DecodedImage:
        """Return the frame; decode it again unless it is one of the last few.

        Raises:
            ImageError: The video can no longer be read.
        """
        pixels = self._pixels() if self._pixels else None
        if pixels is None:
            pixels = self._read()
        return DecodedImage(pixels, bgr=False, name=self.name, kept=self)

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """Pixels as (height, width, 3) uint8 RGB."""
        return self.decode().rgb

    def _read(self) -> npt.NDArray[np.uint8]:
        if self._pts is not None:
            with open_video(self.path) as container:
                container.seek(self._pts, stream=container.streams.video[0])
                for frame in _readable(container):
                    if frame.pts == self._pts:
                        return upright_pixels(frame, "rgb24")
                    if frame.pts is None or frame.pts > self._pts:
                        break
        with open_video(self.path) as container:
            for index, frame in enumerate(_readable(container)):
                if index == self.index:
                    return upright_pixels(frame, "rgb24")
        msg = f"{self.name!r} no longer exists"
        raise ImageError(msg)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pixels": None}


def frames(source: Source) -> Generator[npt.NDArray[np.uint8], None, None]:
    """Yield the frames of a video.

    Args:
        source: A video file, the URL of a stream that FFmpeg can read, or the index of a camera.

    Returns:
        A generator of (h, w, 3) uint8 BGR arrays, as in OpenCV and as `predict` expects them.
        Closing it closes the file or camera.

    Raises:
        ExtraRequired: PyAV is not installed.
        ImageError: The video cannot be opened, or is damaged.
    """
    with closing(_decoded(source, "bgr24")) as decoded:
        for frame in decoded:
            yield frame.pixels


def decode_video(
    source: Source, *, failed: Callable[[Any, Exception], Failed] | None = None
) -> Generator[DecodedImage | Failed, None, None]:
    """Yield the frames of a video as images with names such as `clip.mp4#0`.

    Args:
        source: As for `frames`.
        failed: Called with the source and an error; its return value is yielded in place of a
            damaged frame, and decoding continues. By default the error is raised.

    Raises:
        ExtraRequired: PyAV is not installed.
        ImageError: The video cannot be opened, or is damaged.
    """
    return _decoded(source, "rgb24", failed)


def frame_count(source: str | os.PathLike[str]) -> int | None:
    """Return the number of frames in the header of a video file, or None."""
    with suppress(ImageError, ExtraRequired), open_video(source) as container:
        count: int = container.streams.video[0].frames
        return count or None
    return None


def video_format(source: Source) -> VideoFormat:
    """Return the properties of a video.

    Raises:
        ExtraRequired: PyAV is not installed.
        ImageError: The video cannot be opened, or is damaged.
    """
    with open_video(source) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
        aspect = stream.sample_aspect_ratio or Fraction(1)
        first = next(_readable(container), None)
        if first is not None and _frame_orientation(first) in _SIDEWAYS:
            aspect = 1 / aspect
        return VideoFormat(Fraction(rate), Fraction(stream.time_base), Fraction(aspect))


def start_time(container: Any, stream: Any) -> int:
    """Return the start time of a container, shown as 0:00, in the time base of a stream."""
    start = Fraction(container.start_time or 0, 1_000_000)  # FFmpeg's unit of containers
    return round(start / Fraction(stream.time_base))


def _decoded(
    source: Source, layout: str, failed: Callable[[Any, Exception], Failed] | None = None
) -> Generator[Any, None, None]:
    name = _name(source)
    index = 0
    with open_video(source) as container:
        stream = container.streams.video[0]
        start = start_time(container, stream)
        for frame in damaged_or_frames(container):
            if isinstance(frame, Exception):
                after = f"after frame {index - 1}" if index else "at its start"
                error = ImageError(f"video {name!r} cannot be read {after}: {frame}")
                if failed is None:
                    raise error from frame
                yield failed(source, error)
                continue
            pixels = upright_pixels(frame, layout)
            kept = None
            if layout == "rgb24" and not isinstance(source, int):
                shown = None if frame.pts is None else (frame.pts - start) * stream.time_base
                kept = VideoFrame(name, index, frame.pts, shown, pixels)
            yield DecodedImage(pixels, layout == "bgr24", f"{name}#{index}", kept=kept)
            index += 1


def damaged_or_frames(container: Any) -> Iterator[Any]:
    """Yield the frames of a container, and errors in place of damaged frames."""
    damaged = require("av", "videos need PyAV", extra="video").error.InvalidDataError
    for packet in container.demux(video=0):
        try:
            frames = packet.decode()
        except damaged as error:
            yield error
        else:
            yield from frames


def _readable(container: Any) -> Iterator[Any]:
    return (frame for frame in damaged_or_frames(container) if not isinstance(frame, Exception))


def upright_pixels(frame: Any, layout: str) -> npt.NDArray[np.uint8]:
    """Return a frame's pixels upright, converted according to its color tags."""
    pixels: npt.NDArray[np.uint8] = frame.to_ndarray(format=layout)
    orientation = _frame_orientation(frame)
    return UPRIGHT_TRANSFORMS[orientation](pixels) if orientation in UPRIGHT_TRANSFORMS else pixels


def _frame_orientation(frame: Any) -> int:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return _orientation(bytes(matrix)) if matrix is not None else 1


def _orientation(matrix: bytes) -> int:
    """Return the EXIF orientation closest to an FFmpeg display matrix."""
    a, b, _, c, d = (int(number) for number in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        b = c = 0
    else:
        a = d = 0
    return _ORIENTATIONS.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _name(source: Source) -> str:
    if isinstance(source, int):
        return f"camera {source}"
    return without_password(os.fsdecode(os.fspath(source)))


@contextmanager
def open_video(source: Source, *, is_live: bool = False) -> Iterator[Any]:
    """Open a video as a PyAV container; close it on exit.

    Args:
        source: As for `frames`.
        is_live: Whether frames should come as soon as possible: with little buffering.

    Raises:
        ExtraRequired: PyAV is not installed.
        ImageError: The video cannot be opened, or is damaged.
    """
    name = _name(source)
    av = require("av", "videos need PyAV", extra="video")
    try:
        with _open(av, source, is_live=is_live) as container:
            if not container.streams.video:
                msg = f"{name!r} has no video stream"
                raise ImageError(msg)
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            check_bytes(name, _DECODER_BYTES_PER_PIXEL * width * height, width, height)
            stream.thread_type = "SLICE" if is_live else "AUTO"  # frame threads add delay
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        kind = "" if isinstance(source, int) else "video "
        msg = f"{kind}{name!r} cannot be read: {without_password(str(error))}"
        if isinstance(source, int):
            msg += _other_cameras()
        raise ImageError(msg) from error


def _open(av: Any, source: Source, *, is_live: bool) -> Any:
    if isinstance(source, int):
        driver, device = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
        return av.open(device.format(source), format=driver)
    name = os.fsdecode(os.fspath(source))
    if not os.path.isfile(name):  # noqa: PTH113
        options = {"fflags": "nobuffer"} if is_live else {}
        if name.lower().startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # over UDP, lost packets damage many frames
        return av.open(name, options=options, timeout=_TIMEOUT_S if "://" in name else None)
    # Without `file:`, FFmpeg would treat the text before a colon as a protocol.
    return av.open(f"file:{name}", container_options=dict(_LOCAL_FILE_OPTIONS))


def _other_cameras() -> str:
    """Return the cameras of this machine as the end of a message, where they can be listed."""
    if sys.platform != "linux":
        return ""
    found = sorted(Path("/dev").glob("video*"))
    return f" (cameras here: {', '.join(map(str, found)) or 'none'})"
