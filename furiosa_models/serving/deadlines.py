"""The server and the HTTP protocol of uvicorn, with the deadlines that they lack."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["DeadlineProtocol", "DeadlineServer"]

_LAST_WORDS = 1.0
"""Seconds for the answers to requests that were given up when the server ends."""


class DeadlineServer(Server):
    """Lets requests that it gives up at its end answer so; uvicorn ends while they are about to."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End gracefully."""
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS)


class DeadlineProtocol(H11Protocol):
    """Closes connections that hold out a request, or do not take an answer.

    uvicorn bounds the time between two requests, but not that of a request whose headers do not
    end. While no request is in progress, a clock runs here from the first byte, or from the start
    of the connection. What is left of a body that was refused counts as such bytes.

    Args:
        options: What uvicorn gives.
        header_timeout: Seconds for the headers of a request to arrive.
        write_timeout: Seconds for the client to take what is in the buffer.
    """

    def __init__(self, *, header_timeout: float, write_timeout: float, **options: Any) -> None:
        super().__init__(**options)
        self._header_timeout = header_timeout
        self._write_timeout = write_timeout
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock with the connection."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the clock where a request has begun; else start it, if it does not run."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the clock: the client does not take what is sent."""
        super().pause_writing()
        self._start(self._write_timeout)

    def resume_writing(self) -> None:
        """Stop the clock."""
        super().resume_writing()
        self._stop()

    def _watch(self) -> None:
        if self.flow.write_paused:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._clock is None and not self.transport.is_closing():
            self._start(self._header_timeout)

    def _start(self, seconds: float) -> None:
        self._stop()
        self._clock = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
