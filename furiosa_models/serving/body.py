"""Limits of request bodies: their size, the memory of all of them, and their arrival time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .limits import Budget, Busy, Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimits", "busy"]

_FIRST_RESERVATION = 1 << 20
"""Bytes reserved for a body before more than this has arrived.

A client that declares a large body but does not send it thus blocks no other requests.
"""

_RETRY_AFTER = "5"
_CLOSE = {"Connection": "close"}


def busy() -> HTTPException:
    """Return the 503 response for a request that gets no memory in time."""
    msg = f"the server is busy with other requests; try again in {_RETRY_AFTER} seconds"
    return HTTPException(503, msg, {"Retry-After": _RETRY_AFTER})


class BodyLimits:
    """ASGI middleware that limits the size, memory and arrival time of bodies.

    It rejects a body that is too large at once if the client declares the length, else when the
    body exceeds the limit. All bodies in flight share one memory budget. Rejections are
    `HTTPException`s, raised where the application reads the body.

    Args:
        app: Application to wrap.
        limits: Limits of requests.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        # Waiting bodies keep their first bytes; these may take at most half of the memory.
        waiting = max(1, limits.body_memory // (2 * _FIRST_RESERVATION))
        self._memory = Budget(
            limits.body_memory,
            max_waiting=min(limits.max_waiting, waiting),
            timeout=limits.queue_timeout,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = {name for name, _ in scope["headers"]}
        if {b"content-length", b"transfer-encoding"} <= names:
            # A proxy that uses the other header would split requests differently (smuggling).
            detail = {
                "detail": "the request has a Content-Length and a Transfer-Encoding: send only one"
            }
            await JSONResponse(detail, 400, _CLOSE)(scope, receive, send)
            return
        body = _Body(scope, receive, self._limits, self._memory)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, body.receive, sending)
        except asyncio.CancelledError:
            # The shutdown timeout has passed: answer instead of logging a traceback.
            if not started:
                detail = {"detail": "the server is shutting down; the request was not finished"}
                await JSONResponse(detail, 503, _CLOSE)(scope, receive, send)
        finally:
            body.close()


class _Body:
    """The body of one request.

    Args:
        scope: ASGI scope of the request.
        receive: ASGI function that returns the next message.
        limits: Limits of requests.
        memory: Memory budget of all bodies.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: Limits, memory: Budget) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"")
        self._declared = int(length[:20]) if length.isdigit() else None
        self._receive = receive
        self._limits = limits
        self._memory = memory
        self._size = self._reserved = 0
        self._deadline: float | None = None
        self._complete = False

    async def receive(self) -> Message:
        """Return the next ASGI message of the client.

        Raises:
            HTTPException: The body is too large or too slow, or no memory is available for it.
        """
        if self._complete:
            return await self._receive()
        if (self._declared or 0) > self._limits.max_bytes:
            raise self._too_large()
        await self._reserve_memory()
        message = await self._in_time()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._size > self._limits.max_bytes:
                raise self._too_large()
            await self._reserve_memory()
        return message

    def close(self) -> None:
        """Return the reserved memory."""
        self._memory.give(self._reserved)
        self._reserved = 0

    async def _in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + self._limits.body_timeout
        try:
            return await asyncio.wait_for(self._receive(), self._deadline - loop.time())
        except asyncio.TimeoutError:
            msg = f"the body did not arrive within {self._limits.body_timeout:g} seconds"
            raise HTTPException(408, msg, _CLOSE) from None

    async def _reserve_memory(self) -> None:
        """Reserve memory for the first bytes, or for the whole body once it is larger."""
        whole = self._limits.max_bytes if self._declared is None else self._declared
        reservation = whole if self._size > _FIRST_RESERVATION else min(_FIRST_RESERVATION, whole)
        if reservation <= self._reserved:
            return
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            await self._memory.take(reservation - self._reserved)
        except Busy:
            raise busy() from None
        self._reserved = reservation
        if self._deadline is not None:  # waiting for memory is not the client's fault
            self._deadline += loop.time() - since

    def _too_large(self) -> HTTPException:
        what = f"{self._declared} bytes" if self._declared else "more"
        msg = (
            f"the body is too large: expected at most {self._limits.max_bytes} bytes, got {what}; "
            "send smaller or fewer photos"
        )
        return HTTPException(413, msg)
