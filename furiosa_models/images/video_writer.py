"""Write pictures to a video file with PyAV: the extra `video`."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..errors import BackendUnavailable, FuriosaModelsError, ShapeError
from ..progress import log_warning
from ..runtime.machine import available_cpus
from .sources import is_same_file
from .video import VideoFormat, open_video, start_time, video_format

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from typing_extensions import Self

__all__ = ["VideoWriter"]

logger = logging.getLogger(__name__)

_FORMATS = MappingProxyType({".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"})
_ENCODERS = ("libx264", "libopenh264")
_TICKS = 90_000  # per second; time base for a given frame rate
_BT709, _LIMITED = 1, 1  # FFmpeg's constants for color space and range
_THREADS = 8  # each thread holds a frame
_OPTIONS = MappingProxyType(
    {
        "crf": "20",
        "preset": "veryfast",
        # No B-frames: with them, the last frame of a video with variable frame rate would have
        # no duration.
        "bf": "0",
    }
)


class VideoWriter:
    """Write pictures to a video file.

    ```python
    with VideoWriter("out.mp4", like="clip.mp4") as writer:
        for result in model.predict("clip.mp4", stream=True):
            writer.write(result.plot(), time=result.image.time)
    ```

    The video is H.264 in yuv420p, which every player supports. The file appears once it is
    complete; if an exception interrupts writing, no file is left.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        like: str | os.PathLike[str] | None = None,
        rate: float | Fraction | None = None,
    ) -> None:
        """Create a writer; the file is opened with the first picture.

        Args:
            path: The file: `.mp4`, `.m4v`, `.mov` or `.mkv`. An existing file is replaced.
            like: A video to copy frame rate, timestamps, pixel aspect ratio and audio from. Audio
                that the file format does not support is dropped with a log message.
            rate: Frames per second, if there is no such video.

        Raises:
            ExtraRequired: PyAV is not installed.
            FuriosaModelsError: `path` and `like` are the same file.
            ImageError: The video `like` cannot be read.
            TypeError: Neither `like` nor `rate` is given, or both are.
            ValueError: The file extension is not supported, or `rate` is not positive.
        """
        self.path = Path(path)
        if (like is None) == (rate is None):
            msg = "a VideoWriter needs either like= (a video) or rate= (frames per second)"
            raise TypeError(msg)
        self._container_format = _FORMATS.get(self.path.suffix.lower(), "")
        if not self._container_format:
            names = ", ".join(_FORMATS)
            msg = f"{self.path}: cannot write a video as {self.path.suffix!r}: use {names}"
            raise ValueError(msg)
        self._av = require("av", "videos need PyAV", extra="video")
        self._like = like
        if like is not None:
            if is_same_file(self.path, like):
                msg = f"{self.path} is the source video itself: choose another name"
                raise FuriosaModelsError(msg)
            self._format = video_format(like)
        else:
            self._format = VideoFormat(_as_rate(rate), Fraction(1, _TICKS), Fraction(1))
        self._size: tuple[int, int] | None = None
        self._container: Any = None
        self._audio: _AudioTrack | None = None
        self._last: int | None = None
        self._closed = False
        self._stack = ExitStack()

    def write(
        self,
        picture: PILImage | npt.NDArray[np.uint8],
        *,
        time: Fraction | float | None = None,
    ) -> None:
        """Write the next picture.

        Args:
            picture: A PIL image, or (h, w, 3) uint8 RGB. The first picture defines the size of the
                video; an odd side is padded by one row or column. Later pictures of other sizes are
                scaled.
            time: Timestamp in seconds; by default one frame after the previous picture.

        Raises:
            BackendUnavailable: PyAV has no H.264 encoder.
            FuriosaModelsError: The file cannot be written, or the writer is closed.
            ShapeError: The array has the wrong shape or dtype.
        """
        if self._closed:
            msg = f"{self.path} is closed: no more pictures can be written into it"
            raise FuriosaModelsError(msg)
        pixels = _pixels(picture)
        with self._naming_errors():
            if self._size is None:
                self._open(pixels.shape[1], pixels.shape[0])
            self._mux(self._encode(pixels, self._ticks(time)))

    def close(self) -> None:
        """Finish the file. Without any picture, no file is created.

        Raises:
            FuriosaModelsError: The file cannot be written.
        """
        if self._closed:
            return
        if self._size is None:
            self.discard()
            return
        try:
            with self._naming_errors():
                self._mux(None)
                self._container.close()
                self._partial.replace(self.path)
        except BaseException:
            self.discard()
            raise
        self._closed = True
        self._stack.close()

    def discard(self) -> None:
        """Stop without creating a file; an existing file is not changed."""
        self._closed = True
        self._stack.close()
        if self._container is not None:
            with suppress(self._av.FFmpegError, OSError):  # disk full; the file is removed anyway
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _open(self, width: int, height: int) -> None:
        encoder = next((e for e in _ENCODERS if e in self._av.codecs_available), None)
        if encoder is None:
            msg = (
                f"PyAV {self._av.__version__} has no H.264 encoder ({' or '.join(_ENCODERS)}): "
                "install its wheel from PyPI (pip install --force-reinstall av)"
            )
            raise BackendUnavailable(msg)
        # In the same folder, so that it can be renamed; hidden, because it is incomplete.
        self._partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        self._size = width, height
        source = None if self._like is None else self._stack.enter_context(open_video(self._like))
        audio = next(iter(source.streams.audio), None) if source is not None else None
        try:
            copy = self._start(encoder, audio)
        except (ValueError, self._av.FFmpegError) as error:
            if audio is None:
                raise
            copy = self._start(encoder, None)
            reason = getattr(error, "strerror", None) or error
            log_warning(logger, "%s: its audio is left out: %s", self.path, reason)
        if copy is not None:
            damaged = self._av.error.InvalidDataError
            self._audio = _AudioTrack(source, audio, copy, damaged=damaged)

    def _start(self, encoder: str, audio: Any) -> Any:
        """Open the file for pictures and, if there is any, audio; return the audio stream.

        The header is written at once, which shows whether the format supports the audio.
        """
        if self._container is not None:
            with suppress(self._av.FFmpegError):  # the error was reported already
                self._container.close()
        fast = {"movflags": "+faststart"} if self._container_format != "matroska" else {}
        self._container = self._av.open(
            f"file:{self._partial}", "w", format=self._container_format, options=fast
        )
        rate, time_base, aspect = self._format
        options = dict(_OPTIONS) if encoder == _ENCODERS[0] else {}
        stream = self._stream = self._container.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height = (side + side % 2 for side in self._size or ())
        stream.pix_fmt = "yuv420p"
        stream.time_base = time_base
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = time_base, aspect
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        context.thread_count = min(available_cpus(), _THREADS)
        copy = None if audio is None else self._container.add_stream_from_template(audio)
        self._container.start_encoding()
        return copy

    @property
    def _frame_ticks(self) -> int:
        """Duration of a frame, in units of the time base."""
        return max(1, round(1 / self._format.rate / self._format.time_base))

    def _ticks(self, time: Fraction | float | None) -> int:
        """Convert a time to the time base; keep timestamps increasing, as players require."""
        if time is None:
            return 0 if self._last is None else self._last + self._frame_ticks
        ticks = round(Fraction(time) / self._format.time_base)
        return ticks if self._last is None else max(ticks, self._last + 1)

    def _encode(self, pixels: npt.NDArray[np.uint8], ticks: int) -> Any:
        """Convert a picture to a frame with the video's size, color format and timestamp."""
        if self._size is not None and self._size != (pixels.shape[1], pixels.shape[0]):
            from PIL import Image

            pixels = np.asarray(Image.fromarray(pixels).resize(self._size))
        odd = [(0, length % 2) for length in pixels.shape[:2]]
        if any(after for _, after in odd):
            pixels = np.pad(pixels, (*odd, (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
        frame.pts, frame.time_base = ticks, self._format.time_base
        frame.duration = self._frame_ticks
        self._last = ticks
        return frame

    def _mux(self, frame: Any) -> None:
        """Write a frame and the audio up to it; None flushes the encoder."""
        self._container.mux(self._stream.encode(frame))
        if self._audio is not None and self._last is not None:
            until = self._last * self._format.time_base
            if frame is None:
                until += 1 / self._format.rate
            for packet in self._audio.until(until):
                self._container.mux(packet)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Name the file in errors of FFmpeg and the system."""
        try:
            yield
        except (self._av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            msg = f"{self.path} cannot be written: {reason}"
            raise FuriosaModelsError(msg) from error


class _AudioTrack:
    """The audio of a video, copied without re-encoding.

    Args:
        source: The open video.
        stream: Its audio stream.
        copy: The output stream.
        damaged: Exception that signals a damaged video.
    """

    def __init__(self, source: Any, stream: Any, copy: Any, *, damaged: type[Exception]) -> None:
        self._source = source
        self._copy = copy
        self._damaged = damaged
        self._start = start_time(source, stream)
        self._time_base = stream.time_base
        self._packets = source.demux(stream)
        self._next: Any = self._read()

    def until(self, time: Fraction) -> Iterator[Any]:
        """Yield the packets up to a time that were not yielded before."""
        while self._next is not None:
            packet = self._next
            if packet.dts is not None:  # None marks the end, or a packet without timestamp
                packet.stream = self._copy
                if (packet.dts - self._start) * self._time_base > time:
                    return
                packet.dts -= self._start
                packet.pts = None if packet.pts is None else packet.pts - self._start
                yield packet
            self._next = self._read()

    def _read(self) -> Any:
        try:
            return next(self._packets, None)
        except self._damaged as error:
            log_warning(logger, "%s: its audio ends early: %s", self._source.name, error)
            return None


def _pixels(picture: PILImage | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    pixels = picture if isinstance(picture, np.ndarray) else np.asarray(picture.convert("RGB"))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        msg = (
            "a picture of a video must be a PIL image or uint8 of shape (h, w, 3), got "
            f"{pixels.dtype} of shape {pixels.shape}"
        )
        raise ShapeError(msg)
    return pixels


def _as_rate(rate: float | Fraction | None) -> Fraction:
    if rate is None or not 0 < rate < float("inf"):
        msg = f"rate must be a positive number of frames per second, got {rate}"
        raise ValueError(msg)
    return Fraction(rate).limit_denominator(1001)
