"""Run blocking network code with a total time limit."""

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
    """A sink that rejects writes once it is closed, and records errors of the sink behind it.

    Args:
        sink: The sink behind it.

    Attributes:
        failure: The exception that the sink behind it raised, if any. It is not the source's fault.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._is_closed = False
        self.failure: BaseException | None = None

    @property
    def position(self) -> int:
        """Number of bytes written so far."""
        return self._sink.position

    @property
    def size(self) -> int | None:
        """Expected total number of bytes, or None if unknown."""
        return self._sink.size

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TimeoutError: The sink was closed.
            Exception: Whatever the sink behind it raises.
        """
        self._forward(lambda: self._sink.write(data))

    def resume(self) -> None:
        """Announce that the next bytes continue those already written. Raises as `write` does."""
        self._forward(self._sink.resume)

    def rewind(self) -> None:
        """Discard the bytes written so far. Raises the errors of `write`."""
        self._forward(self._sink.rewind)

    def close(self) -> None:
        """Reject all further writes; return once the sink behind it is no longer in use."""
        with self._lock:
            self._is_closed = True

    def _forward(self, action: Callable[[], object]) -> None:
        with self._lock:
            if self._is_closed:
                msg = "the download was abandoned: nobody waits for these bytes"
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
        except BaseException as error:  # `run_with_timeout` raises it in the caller's thread
            self.error = error

    def register_socket(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connection)
        if self._is_aborted:
            self.abort()

    def abort(self) -> None:
        """Shut down the registered connections, so that reads from them fail."""
        with self._lock:
            self._is_aborted = True
            for connection in self._sockets:
                with suppress(OSError):  # already closed
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


def register_socket(connection: socket.socket) -> None:
    """Shut this connection down if the job of the current thread is aborted."""
    job: _Job[object] | None = getattr(_thread_local, "job", None)
    if job is not None:
        job.register_socket(connection)


def run_with_timeout(seconds: float, function: Callable[[], _T]) -> _T:
    """Return what a function returns, or raise what it raises, within a time limit.

    The function runs in its own thread, because socket timeouts do not bound the total time: they
    restart with every byte, and do not cover host name lookup or slow headers. On timeout its
    registered connections are shut down, which ends most functions; the daemon thread of any other
    is abandoned.

    Args:
        seconds: The time limit.
        function: The function.

    Raises:
        TimeoutError: The function did not finish in time.
    """
    job = _Job(function)
    thread = threading.Thread(target=job.run, name="furiosa_models.fetch", daemon=True)
    thread.start()
    timed_out = True
    try:
        thread.join(seconds)
        timed_out = thread.is_alive()
    finally:
        if timed_out:  # also if the user interrupts the wait
            job.abort()
    if timed_out:
        msg = f"not finished after {seconds:g} s"
        raise TimeoutError(msg)
    if job.error is not None:
        raise job.error
    return job.results[0]
