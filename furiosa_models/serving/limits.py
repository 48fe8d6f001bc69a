"""What requests may cost: one of them, and all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

__all__ = ["MOST_BYTES", "Budget", "Busy", "Limits"]

MOST_BYTES = 64 << 20
"""Largest request that is accepted by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server.

    A quarter of `max_memory` is for the bodies of requests, the rest for decoding their photos. The
    model and the libraries come on top of it.

    Attributes:
        max_bytes: Most bytes of the body of one request.
        max_memory: Most bytes that bodies and decoded photos of all requests hold together.
        max_photos: Most photos of one request.
        max_waiting: Most requests that wait for memory; the next one is told to come back.
        queue_timeout: Seconds that a request waits for memory until it is told so.
        header_timeout: Seconds for the first line and the headers of a request to arrive.
        body_timeout: Seconds for a body to arrive, and for a client to take a piece of the answer.
        shutdown_timeout: Seconds that requests in progress are given when the server ends.

    Raises:
        ValueError: A limit is not positive, or `max_memory` has no room for one request.
    """

    max_bytes: int = MOST_BYTES
    max_memory: int = 1 << 30
    max_photos: int = 64
    max_waiting: int = 256
    queue_timeout: float = 30.0
    header_timeout: float = 10.0
    body_timeout: float = 60.0
    shutdown_timeout: int = 10

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                msg = f"{field.name} must be more than 0, got {value}"
                raise ValueError(msg)
        if self.max_bytes > self.body_memory:
            msg = (
                f"max_memory={self.max_memory} is too little: expected at least four times "
                f"max_bytes={self.max_bytes}"
            )
            raise ValueError(msg)

    @property
    def body_memory(self) -> int:
        """Most bytes of all bodies together."""
        return self.max_memory // 4

    @property
    def photo_memory(self) -> int:
        """Most bytes that decoding photos holds, all of them together."""
        return self.max_memory - self.body_memory


class Busy(Exception):
    """There was nothing left of a budget for as long as a request may wait."""


class _Waiter(NamedTuple):
    amount: int
    granted: asyncio.Future[None]


class Budget:
    """An amount that requests share, such as memory.

    A request that asks for more than is left waits. One that fits may pass another that does not,
    so that a huge photo does not hold up the small ones behind it.

    Args:
        total: What there is.
        max_waiting: Most requests that wait.
        timeout: Seconds that each of them waits.
    """

    def __init__(self, total: int, *, max_waiting: int, timeout: float) -> None:
        self.total = total
        self._left = total
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._waiting: list[_Waiter] = []

    @classmethod
    def of(cls, limits: Limits, total: int) -> Budget:
        """Return a budget that requests wait for as long as the limits say."""
        return cls(total, max_waiting=limits.max_waiting, timeout=limits.queue_timeout)

    @asynccontextmanager
    async def taken(self, amount: int) -> AsyncIterator[None]:
        """Hold an amount inside a `with` block; raises as `take` does."""
        await self.take(amount)
        try:
            yield
        finally:
            self.give(amount)

    async def take(self, amount: int) -> None:
        """Take an amount, at most `total`.

        Raises:
            Busy: It is not there, and does not become so in time; or too many wait for it.
        """
        if amount <= self._left:
            self._left -= amount
            return
        if len(self._waiting) >= self._max_waiting:
            raise Busy
        waiter = _Waiter(amount, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        granted = False
        try:
            await asyncio.wait((waiter.granted,), timeout=self._timeout)
            granted = waiter.granted.done()
        finally:
            if not granted and waiter.granted.done():  # cancelled in the moment that it was granted
                self.give(amount)
            elif not granted:
                self._waiting.remove(waiter)
        if not granted:
            raise Busy

    def give(self, amount: int) -> None:
        """Give an amount back, to those who wait for it."""
        self._left += amount
        for waiter in [*self._waiting]:
            if waiter.amount <= self._left:
                self._left -= waiter.amount
                self._waiting.remove(waiter)
                waiter.granted.set_result(None)
