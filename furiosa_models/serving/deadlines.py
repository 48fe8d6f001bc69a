"""Subclasses of uvicorn's server and HTTP protocol: with timeouts, and a shutdown without loss."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["DeadlineProtocol", "DeadlineServer"]

_LAST_WORDS = 1.0
"""Seconds to send 503 responses to requests that were canceled at shutdown."""


_LINGER = 1.0
"""Maximum seconds at shutdown to wait for a request on connections that are idle.

A client that reuses a connection may be sending a request just now. It gets a response that says
that the connection will be closed. Closing the connection at once would lose the request.
"""

_POLL = 0.02
_ACCEPTING = 3  # turns of the event loop, in which connections that wait are accepted
_CLOSE = (b"connection", b"close")


class DeadlineServer(Server):
    """A server that answers at shutdown what has been sent, and requests that were canceled."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, answer what has been sent, and shut down."""
        if state := getattr(self.config.app, "state", None):
            state.is_draining = True
        for _ in range(_ACCEPTING):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        connections = self.server_state.connections
        for connection in connections:
            if isinstance(connection, DeadlineProtocol):
                connection.close_after_response()
        end = asyncio.get_running_loop().time() + _LINGER
        while connections and not self.force_exit and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_POLL)
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS)


class DeadlineProtocol(H11Protocol):
    """A protocol that closes connections whose client sends or receives too slowly.

    uvicorn limits the time between two requests, but not the time that the headers of a request may
    take. Here a timer runs whenever no request is in progress, from the start of the connection or
    from the first byte. The remaining bytes of a rejected body count as such bytes.

    Args:
        options: Options that uvicorn passes.
        header_timeout: Seconds for the headers of a request to arrive.
        write_timeout: Seconds for the client to receive the contents of the send buffer.
    """

    def __init__(self, *, header_timeout: float, write_timeout: float, **options: Any) -> None:
        super().__init__(**options)
        self._header_timeout = header_timeout
        self._write_timeout = write_timeout
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the timer if a request has begun, else start it if it is not running."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop()
        super().connection_lost(exc)

    def close_after_response(self) -> None:
        """Tell the client in the next response that the connection will be closed."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.default_headers = [*self.cycle.default_headers, _CLOSE]

    def pause_writing(self) -> None:
        """Start the timer: the client is not receiving the response."""
        super().pause_writing()
        self._start(self._write_timeout)

    def resume_writing(self) -> None:
        """Stop the timer."""
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
