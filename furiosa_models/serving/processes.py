"""A server of several processes, which accept connections on one socket."""

from __future__ import annotations

import logging
import logging.config
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from socket import socket
from typing import TYPE_CHECKING, Any

from ..errors import FuriosaModelsError
from .access import LogFormat, log_config
from .limits import Limits
from .server import run

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["METRICS_FOLDER", "run_processes"]

_logger = logging.getLogger("furiosa_models.serving")

_POLL = 0.1
_PATIENCE = 10.0
"""Seconds that a process may take to end, beyond its shutdown timeout."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of prometheus-client: folder of the figures of several processes."""


def run_processes(
    make: Callable[[], FastAPI],
    listening: socket,
    count: int,
    *,
    limits: Limits,
    log_format: LogFormat,
    on_ready: Callable[[], object],
) -> None:
    """Serve an application in several processes until SIGINT or SIGTERM.

    Each process makes the application, and gets its share of the CPUs. A process that ends is
    replaced. The signal shuts all of them down as in `run`.

    Args:
        make: Function that makes the application; it is pickled.
        listening: Socket that `listen` returned.
        count: Number of processes.
        limits: Limits of each process.
        log_format: As for `run`.
        on_ready: Function to call when all processes are ready.

    Raises:
        FuriosaModelsError: A process could not start; it has reported why.
        KeyboardInterrupt: SIGINT ended the server.
    """
    logging.config.dictConfig(log_config(log_format))
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        group = _Group(make, listening, limits, log_format, folder)
        received: list[int] = []
        signals = (signal.SIGINT, signal.SIGTERM)
        previous = {
            number: signal.signal(number, lambda n, _: received.append(n)) for number in signals
        }
        try:
            group.start(count)
            group.watch(received, on_ready)
        finally:
            listening.close()  # else connections would wait for nobody
            group.stop(limits.shutdown_timeout)
            for number, handler in previous.items():
                signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])  # so that the parent process sees why this one ended


class _Group:
    """The processes of a server.

    Args:
        make: Function that makes the application.
        listening: Socket to accept connections on.
        limits: Limits of each process.
        log_format: As for `run`.
        folder: Folder of the metrics of all processes.
    """

    def __init__(
        self,
        make: Callable[[], FastAPI],
        listening: socket,
        limits: Limits,
        log_format: LogFormat,
        folder: str,
    ) -> None:
        self._context = get_context("spawn")
        self._arguments = make, listening, limits, log_format, folder
        self._folder = folder
        self._members: list[_Member] = []

    def start(self, count: int) -> None:
        """Start the processes."""
        self._members = [self._started(cpus) for cpus in _shares(count)]

    def watch(self, received: Sequence[int], on_ready: Callable[[], object]) -> None:
        """Replace processes that end, until a signal is received.

        Raises:
            FuriosaModelsError: A process could not start.
        """
        is_ready = False
        while not received:
            time.sleep(_POLL)
            for index, member in enumerate(self._members):
                if member.process.is_alive():
                    continue
                self._forget(member)
                code = member.process.exitcode
                if not member.ready.is_set():
                    msg = f"a server process could not start, and ended with code {code}; see above"
                    raise FuriosaModelsError(msg)
                _logger.warning(
                    "process %d ended with code %d and is replaced", member.process.pid, code
                )
                self._members[index] = self._started(member.cpus)
            if not is_ready and all(member.ready.is_set() for member in self._members):
                is_ready = True
                on_ready()

    def stop(self, seconds: float) -> None:
        """Shut the processes down; kill those that take much longer than they should."""
        for member in self._members:
            member.process.terminate()
        end = time.monotonic() + seconds + _PATIENCE
        for member in self._members:
            member.process.join(max(0.0, end - time.monotonic()))
            if member.process.is_alive():
                member.process.kill()
                member.process.join()

    def _started(self, cpus: set[int]) -> _Member:
        ready = self._context.Event()
        process = self._context.Process(target=_serve, args=(*self._arguments, cpus, ready))
        process.start()
        return _Member(process, ready, cpus)

    def _forget(self, member: _Member) -> None:
        """Remove the gauges of a process that ended, such as its requests in progress."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(member.process.pid, self._folder)  # type: ignore[no-untyped-call]


class _Member:
    """A process.

    Attributes:
        process: The process.
        ready: Set when it serves.
        cpus: Its CPUs; empty for all.
    """

    def __init__(self, process: SpawnProcess, ready: Event, cpus: set[int]) -> None:
        self.process, self.ready, self.cpus = process, ready, cpus


def _shares(count: int) -> list[set[int]]:
    """Return the CPUs of each of `count` processes; empty sets if there are not enough."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(count)]
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < count:
        return [set() for _ in range(count)]
    return [set(cpus[index::count]) for index in range(count)]


def _serve(
    make: Callable[[], FastAPI],
    listening: socket,
    limits: Limits,
    log_format: LogFormat,
    folder: str,
    cpus: set[int],
    ready: Any,
) -> None:
    """Serve in a process of a server."""
    if cpus:
        os.sched_setaffinity(0, cpus)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ[METRICS_FOLDER] = (
        folder  # this process is ours; prometheus-client reads it when imported
    )
    with suppress(KeyboardInterrupt):
        app = make()
        ready.set()
        run(app, listening, limits, log_format=log_format)


def _end_with_parent() -> None:
    """Shut this process down when its parent is gone: nobody else would."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
