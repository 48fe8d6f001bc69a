"""Cameras and network streams: always their newest frame, through interruptions."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import settings
from ..artifacts.sources import without_password
from ..errors import ImageError
from ..ops.checks import check_limit
from ..progress import log_warning
from .read import DecodedImage
from .video import VideoFrame, damaged_or_frames, open_video, upright_pixels

__all__ = ["LiveFrame", "Stream"]

logger = logging.getLogger(__name__)

_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 10.0  # between attempts to reconnect; each is twice the last
_CLOSE_S = 1.0  # how long to wait for the reading thread, which may wait for the network
_UNSAFE = re.compile(r"[^\w.-]+")


class LiveFrame(VideoFrame):
    """A frame of a camera or stream. Nobody can read it again, so it holds its pixels.

    Attributes:
        name: Name of the frame, such as `camera 0#17`.
        path: Name of the camera or stream, without a password.
        index: Number of frames that were received before it, including those left out.
        time: Seconds since the first frame was received.
    """

    def __init__(
        self, path: str, index: int, time: Fraction, pixels: npt.NDArray[np.uint8]
    ) -> None:
        self.name = f"{path}#{index}"
        self.path = path
        self.index = index
        self.time: Fraction | None = time
        self._held = pixels

    @property
    def stem(self) -> str:
        """A file name for the camera or stream, without extension."""
        return _UNSAFE.sub("-", self.path.rpartition("://")[2]).strip("-.") or "stream"

    def decode(self) -> DecodedImage:
        """Return the frame."""
        return DecodedImage(self._held, bgr=False, name=self.name, kept=self)

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))


class _Received(NamedTuple):
    """A frame of FFmpeg, its number, and when it came."""

    frame: Any
    number: int
    time: float


class Stream:
    """A camera or stream, whose frames are read in a thread of its own.

    ```python
    with Stream("rtsp://192.168.0.7/stream") as stream:
        for result in model.predict(stream, stream=True):
            ...
        print(stream.dropped)
    ```

    Iterating gives the newest frame each time. Frames that came in between are left out, so that
    results stay current even if the network is slower than the camera. If the connection breaks
    off, it is opened again, after a delay that doubles each time. A source that cannot be opened
    at all is an error at once.

    Attributes:
        name: Name of the camera or stream, without a password.
        max_reconnects: Number of attempts to connect again before it is an error.
        received: Number of frames received.
        dropped: Number of those that were left out.
        reconnects: Number of times that the connection was opened again.
    """

    def __init__(self, source: str | int, *, max_reconnects: int = 5) -> None:
        """Create a stream; it is opened when the first frame is asked for.

        Args:
            source: Index of a camera, or a URL that FFmpeg can read.
            max_reconnects: Number of attempts, one after the other, to connect again.

        Raises:
            TypeError: The source is neither an index nor a string.
            ValueError: `max_reconnects` or the index is negative.
        """
        if isinstance(source, bool) or not isinstance(source, (str, int, np.integer)):
            msg = f"a Stream needs the index of a camera or a URL, got {type(source).__name__}"
            raise TypeError(msg)
        if isinstance(source, (int, np.integer)) and source < 0:
            msg = f"the index of a camera must not be negative, got {source}"
            raise ValueError(msg)
        check_limit("max_reconnects", max_reconnects)
        self.source = source if isinstance(source, str) else int(source)
        self.name = without_password(source) if isinstance(source, str) else f"camera {source}"
        self.max_reconnects = max_reconnects
        self.received = self.dropped = self.reconnects = 0
        self._newest: _Received | None = None
        self._error: Exception | None = None
        self._is_done = False
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[DecodedImage]:
        """Yield the newest frame each time, until the stream is closed.

        Raises:
            ExtraRequired: PyAV is not installed.
            ImageError: The source cannot be opened, or not again after it broke off; or the network
                is disabled by `FURIOSA_MODELS_OFFLINE`.
            RuntimeError: Another iteration is in progress.
        """
        if self._thread is not None and self._thread.is_alive():
            msg = f"{self.name} is being read already: use one iteration at a time"
            raise RuntimeError(msg)
        if isinstance(self.source, str) and settings.is_offline():
            msg = f"{self.name} is not opened: FURIOSA_MODELS_OFFLINE is set"
            raise ImageError(msg)
        self._newest, self._error, self._is_done = None, None, False
        self._stop.clear()
        name = f"furiosa_models.live {self.name}"
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()
        first: float | None = None
        try:
            while (received := self._take()) is not None:
                first = received.time if first is None else first
                pixels = upright_pixels(received.frame, "rgb24")
                since = Fraction(round(1e6 * (received.time - first)), 1_000_000)
                frame = LiveFrame(self.name, received.number, since, pixels)
                yield frame.decode()
        finally:
            self.close()

    def close(self) -> None:
        """Close the source; the iteration then ends. Any thread or signal handler may call it."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_S)

    def stop(self) -> None:
        """End the iteration after the current frame, without waiting for the source."""
        self._stop.set()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Stream({self.name!r}, received={self.received}, dropped={self.dropped})"

    def _take(self) -> _Received | None:
        """Return the newest frame when there is one; None at the end."""
        with self._news:
            while self._newest is None and not self._is_done and not self._stop.is_set():
                self._news.wait(0.1)  # a signal handler cannot notify
            received, self._newest = self._newest, None
        if self._stop.is_set():
            return None
        if received is None and self._error is not None:
            raise self._error
        return received

    def _read(self) -> None:
        """Receive frames until the stream is closed; runs in a thread."""
        try:
            self._connect()
        except Exception as error:  # raised where the frames are taken
            self._error = error
        finally:
            with self._news:
                self._is_done = True
                self._news.notify_all()

    def _connect(self) -> None:
        """Receive frames; connect again when the connection breaks off.

        Raises:
            ImageError: The source cannot be opened, or not any more.
        """
        failed = 0
        while not self._stop.is_set():
            before = self.received
            reason = "it ended"
            try:
                self._receive(is_again=failed > 0)
            except ImageError as error:
                if self.received == 0:
                    raise
                reason = str(error)
            if self._stop.is_set():
                return
            failed = 1 if self.received > before else failed + 1
            if self.received == 0:
                msg = f"{self.name} ended without a frame"
                raise ImageError(msg)
            if failed > self.max_reconnects:
                msg = (
                    f"{self.name} broke off after {self.received} frames, and could not be opened "
                    f"again in {self.max_reconnects} attempts: {reason}"
                )
                raise ImageError(msg)
            delay = min(_FIRST_DELAY_S * 2 ** (failed - 1), _MAX_DELAY_S)
            log_warning(logger, "%s: connecting again in %g s: %s", self.name, delay, reason)
            self._stop.wait(delay)

    def _receive(self, *, is_again: bool) -> None:
        """Receive the frames of one connection."""
        with open_video(self.source, is_live=True) as container:
            is_first = True
            for frame in damaged_or_frames(container):
                if self._stop.is_set():
                    return
                if isinstance(frame, Exception):
                    continue  # the next frames of a stream repair it
                if is_first and is_again:
                    self.reconnects += 1
                is_first = False
                with self._news:
                    self.dropped += self._newest is not None
                    self._newest = _Received(frame, self.received, time.monotonic())
                    self.received += 1
                    self._news.notify_all()
