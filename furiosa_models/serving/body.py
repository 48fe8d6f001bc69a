"""The body of a request: measured before and while it arrives, within a deadline."""

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
"""Bytes of a body that are set aside before it has sent as many.

Who declares a large body and sends nothing does not keep others from sending theirs.
"""

_RETRY_AFTER = "5"
_CLOSE = {"Connection": "close"}


def busy() -> HTTPException:
    """Return the answer to a request that there is no memory for now."""
    msg = f"the server is busy with other requests; try again in {_RETRY_AFTER} seconds"
    return HTTPException(503, msg, {"Retry-After": _RETRY_AFTER})


class BodyLimits:
    """ASGI middleware that bounds what bodies cost, whoever reads them.

    A body that is too large is refused before it is read where its length is declared, and where
    it exceeds the limit otherwise. All bodies in flight share an amount of memory. What is refused
    is an `HTTPException`, raised where the application reads the body.

    Args:
        app: The application.
        limits: What bodies may cost.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        # Those who wait for the rest of a body hold its first bytes: half of the memory at most.
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
            # A proxy in front that believes the other one sees other requests than this server.
            detail = {
                "detail": "the request has a Content-Length and a Transfer-Encoding: send one"
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
            # The server ends and has waited long enough: that is an answer, not a traceback.
            if not started:
                detail = {"detail": "the server is shutting down; the request was not finished"}
                await JSONResponse(detail, 503, _CLOSE)(scope, receive, send)
        finally:
            body.close()


class _Body:
    """The body of one request.

    Args:
        scope: Of the request.
        receive: Likewise.
        limits: What it may cost.
        memory: What all bodies share.
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
        """Return the next message of the client, as ASGI has it.

        Raises:
            HTTPException: The body is too large or too slow, or there is no memory for it.
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
        """Give back the memory."""
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
        """Have memory for what is there, and for all of a body that has shown to be large."""
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
        if self._deadline is not None:  # a client is not late for what it waited for
            self._deadline += loop.time() - since

    def _too_large(self) -> HTTPException:
        what = f"{self._declared} bytes" if self._declared else "more"
        msg = (
            f"the body is too large: expected at most {self._limits.max_bytes} bytes, got {what}; "
            "send smaller or fewer photos"
        )
        return HTTPException(413, msg)
