"""Work that nobody waits for once its time is over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from .base import Sink

__all__ = ["ClosableSink", "register_socket", "run_with_timeout"]

_T = TypeVar("_T")
_thread_local = threading.local()


class ClosableSink:
    """A sink that lets writes through until it is shut, and knows what the sink behind it raised.

    Args:
        sink: The sink behind it.

    Attributes:
        failure: What the sink raised, which is no fault of the source.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._is_closed = False
        self.failure: BaseException | None = None

    @property
    def position(self) -> int:
        """How many bytes are there."""
        return self._sink.position

    @property
    def size(self) -> int | None:
        """How many bytes there are to be, where that is known."""
        return self._sink.size

    def write(self, data: bytes) -> None:
        """Take the next bytes; raises as the sink does, and `TimeoutError` once it is shut."""
        self._forward(lambda: self._sink.write(data))

    def resume(self) -> None:
        """Learn that what comes next continues what is there; raises as `write`."""
        self._forward(self._sink.resume)

    def rewind(self) -> None:
        """Drop what is there, to begin again; raises as `write`."""
        self._forward(self._sink.rewind)

    def close(self) -> None:
        """Let nothing through from now on; returns when the sink is not in use any more."""
        with self._lock:
            self._is_closed = True

    def _forward(self, action: Callable[[], object]) -> None:
        with self._lock:
            if self._is_closed:
                msg = "nobody waits for these bytes any more"
                raise TimeoutError(msg)
            try:
                action()
            except BaseException as error:
                self.failure = error
                raise


class _Job(Generic[_T]):
    def __init__(self, function: Callable[[], _T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_aborted = False
        self.results: list[_T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        _thread_local.job = self
        try:
            self.results.append(self._function())
        except BaseException as error:  # it is raised where somebody waits
            self.error = error

    def register_socket(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connection)
        if self._is_aborted:
            self.abort()

    def abort(self) -> None:
        """End its connections, so that whatever waits for them fails."""
        with self._lock:
            self._is_aborted = True
            for connection in self._sockets:
                with suppress(OSError):  # it is closed
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


def register_socket(connection: socket.socket) -> None:
    """Have a connection of this thread's work ended when nobody waits for the work any more."""
    job: _Job[object] | None = getattr(_thread_local, "job", None)
    if job is not None:
        job.register_socket(connection)


def run_with_timeout(seconds: float, function: Callable[[], _T]) -> _T:
    """Return what a function returns, or raise what it raises, within a time.

    It runs in a thread of its own. A timeout of a socket begins anew with every byte, and holds
    neither for the look-up of a host nor for a header that drips; a thread that is not waited for
    keeps nobody, whatever it waits for itself. Connections that it holds are ended, and it with
    them.

    Args:
        seconds: The time.
        function: The work.

    Raises:
        TimeoutError: The time is over.
    """
    job = _Job(function)
    thread = threading.Thread(target=job.run, name="furiosa_models.fetch", daemon=True)
    thread.start()
    timed_out = True
    try:
        thread.join(seconds)
        timed_out = thread.is_alive()
    finally:
        if timed_out:  # also where the user interrupts the wait
            job.abort()
    if timed_out:
        msg = f"not finished after {seconds:g} s"
        raise TimeoutError(msg)
    if job.error is not None:
        raise job.error
    return job.results[0]
