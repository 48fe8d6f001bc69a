"""Writing pictures as a video, through PyAV: the extra `video`."""

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
_TICKS = 90_000  # a second, in which the times of a video of a given rate are counted
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers of how colors are stored
_THREADS = 8  # each holds a frame
_OPTIONS = MappingProxyType(
    {
        "crf": "20",
        "preset": "veryfast",
        # Frames in order: with those that refer to later ones, the last frame of a video whose
        # rate varies would be shown for no time at all.
        "bf": "0",
    }
)


class VideoWriter:
    """A video file that pictures are written into, one after the other.

    ```python
    with VideoWriter("out.mp4", like="clip.mp4") as writer:
        for result in model.predict("clip.mp4", stream=True):
            writer.write(result.plot(), time=result.image.time)
    ```

    It is H.264 in yuv420p, which every player shows. The file is there once all of it is written:
    what is interrupted by an exception leaves none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        like: str | os.PathLike[str] | None = None,
        rate: float | Fraction | None = None,
    ) -> None:
        """Make a writer; the file is opened with the first picture.

        Args:
            path: The file: `.mp4`, `.m4v`, `.mov` or `.mkv`. One that is there is replaced.
            like: A video whose rate, times, shape of pixels and sound are taken over. Sound that a
                file of that kind does not take is left out, with a line in the log.
            rate: Frames a second, where there is no such video.

        Raises:
            ExtraRequired: PyAV is not installed.
            FuriosaModelsError: `path` is the video itself.
            ImageError: The video cannot be read.
            TypeError: Neither `like` nor `rate` is given, or both are.
            ValueError: The name ends in no format of videos, or `rate` is not positive.
        """
        self.path = Path(path)
        if (like is None) == (rate is None):
            msg = "a VideoWriter takes like=, a video, or rate=, frames a second: one of them"
            raise TypeError(msg)
        self._container_format = _FORMATS.get(self.path.suffix.lower(), "")
        if not self._container_format:
            names = ", ".join(_FORMATS)
            msg = f"{self.path}: {self.path.suffix!r} is no video that is written: use {names}"
            raise ValueError(msg)
        self._av = require("av", "videos need PyAV", extra="video")
        self._like = like
        if like is not None:
            if is_same_file(self.path, like):
                msg = f"{self.path} is the video itself: write it under another name"
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
            picture: A PIL image, or (h, w, 3) uint8, red first. The first one says the size of the
                video, of which an odd side is made even by its last row or column; a later one of
                another size is scaled to it.
            time: When it is shown, in seconds; one frame after the one before by default.

        Raises:
            BackendUnavailable: PyAV has no encoder of H.264.
            FuriosaModelsError: The file cannot be written, or is closed.
            ShapeError: An array of another form.
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
        """Finish the file, which is there then; without a picture there is none.

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
        """Leave no file; one that was there before stays as it is."""
        self._closed = True
        self._stack.close()
        if self._container is not None:
            with suppress(self._av.FFmpegError, OSError):  # of a full disk; the file goes anyway
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
                f"PyAV {self._av.__version__} has no encoder of H.264, {' or '.join(_ENCODERS)}: "
                "install the wheel that PyPI has of it (pip install --force-reinstall av)"
            )
            raise BackendUnavailable(msg)
        # Of the same folder, so that it can be renamed, and hidden: it is no video yet.
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
            log_warning(logger, "%s: its sound is left out: %s", self.path, reason)
        if copy is not None:
            damaged = self._av.error.InvalidDataError
            self._audio = _AudioTrack(source, audio, copy, damaged=damaged)

    def _start(self, encoder: str, audio: Any) -> Any:
        """Open the file for pictures and, if there is any, sound; return the stream of sound.

        It is written to at once: whether it can be, and takes such sound, is known then.
        """
        if self._container is not None:
            with suppress(self._av.FFmpegError):  # it has said already what is wrong with it
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
        """How long a frame is shown, in units of the video."""
        return max(1, round(1 / self._format.rate / self._format.time_base))

    def _ticks(self, time: Fraction | float | None) -> int:
        """A time in units of the video, later than the one before: players need it so."""
        if time is None:
            return 0 if self._last is None else self._last + self._frame_ticks
        ticks = round(Fraction(time) / self._format.time_base)
        return ticks if self._last is None else max(ticks, self._last + 1)

    def _encode(self, pixels: npt.NDArray[np.uint8], ticks: int) -> Any:
        """A frame of the video: of its size, in its colors, at its time."""
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
        """Write a frame and the sound up to it; None is the end."""
        self._container.mux(self._stream.encode(frame))
        if self._audio is not None and self._last is not None:
            until = self._last * self._format.time_base
            if frame is None:
                until += 1 / self._format.rate
            for packet in self._audio.until(until):
                self._container.mux(packet)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Name the file in the errors of FFmpeg and the system."""
        try:
            yield
        except (self._av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            msg = f"{self.path} cannot be written: {reason}"
            raise FuriosaModelsError(msg) from error


class _AudioTrack:
    """The sound of a video, copied as it is.

    Args:
        source: The open video.
        stream: Its stream of sound.
        copy: The stream that it is copied to.
        damaged: What is raised where the video cannot be read on.
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
        """Yield what is heard up to a time, once."""
        while self._next is not None:
            packet = self._next
            if packet.dts is not None:  # else it is the end, or cannot be placed
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
            log_warning(logger, "%s: its sound ends early: %s", self._source.name, error)
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
        msg = f"rate must be a number of frames a second above 0, got {rate}"
        raise ValueError(msg)
    return Fraction(rate).limit_denominator(1001)
