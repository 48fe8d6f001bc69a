"""Limits of a server: of one request, and of all requests together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

__all__ = ["MOST_BYTES", "Budget", "Busy", "Limits"]

MOST_BYTES = 64 << 20
"""Default maximum size of a request, in bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server.

    The bodies of requests may use a quarter of `max_memory`, the decoding of photos the rest. The
    memory of the model and of the libraries is not included.

    Attributes:
        max_bytes: Maximum size of a request's body, in bytes.
        max_memory: Maximum memory of all bodies and decoded photos, in bytes.
        max_photos: Maximum number of photos in a request.
        max_waiting: Maximum number of requests that wait for memory; further ones get 503.
        max_queue: Maximum number of requests of one model that wait or run; further ones get 429.
        queue_timeout: Seconds that a request waits for memory, and then for the model, before it
            gets 503.
        header_timeout: Seconds for the first line and the headers of a request to arrive.
        body_timeout: Seconds for a body to arrive, and for a client to receive a part of the
            response.
        shutdown_timeout: Seconds to finish requests in progress at shutdown.

    Raises:
        ValueError: A limit is not positive, or `max_memory` is less than four times `max_bytes`.
    """

    max_bytes: int = MOST_BYTES
    max_memory: int = 1 << 30
    max_photos: int = 64
    max_waiting: int = 256
    max_queue: int = 256
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
                f"max_memory={self.max_memory} is too small: expected at least four times "
                f"max_bytes={self.max_bytes}"
            )
            raise ValueError(msg)

    @property
    def body_memory(self) -> int:
        """Maximum memory of all bodies, in bytes."""
        return self.max_memory // 4

    @property
    def photo_memory(self) -> int:
        """Maximum memory for decoding photos, in bytes."""
        return self.max_memory - self.body_memory


class Busy(Exception):
    """A request did not get its share of a budget in time."""


class _Waiter(NamedTuple):
    amount: int
    granted: asyncio.Future[None]


class Budget:
    """An amount that requests share, such as memory.

    A request waits if it asks for more than is left. A small request may pass a large one that
    waits, so that a huge photo does not block small ones.

    Args:
        total: Total amount.
        max_waiting: Maximum number of waiting requests.
        timeout: Seconds that a request waits; None means without end.
    """

    def __init__(self, total: int, *, max_waiting: int, timeout: float | None) -> None:
        self.total = total
        self._left = total
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._waiting: list[_Waiter] = []

    @property
    def taken_amount(self) -> int:
        """Amount that is in use."""
        return self.total - self._left

    @classmethod
    def of(cls, limits: Limits, total: int) -> Budget:
        """Return a budget with the queue length and the timeout of the limits."""
        return cls(total, max_waiting=limits.max_waiting, timeout=limits.queue_timeout)

    @asynccontextmanager
    async def taken(self, amount: int) -> AsyncIterator[None]:
        """Hold an amount inside a `with` block.

        Raises:
            Busy: The amount is not available in time, or too many requests wait.
        """
        await self.take(amount)
        try:
            yield
        finally:
            self.give(amount)

    async def take(self, amount: int) -> None:
        """Take an amount, which may be at most `total`.

        Raises:
            Busy: The amount is not available in time, or too many requests wait.
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
            if not granted and waiter.granted.done():  # canceled just after it was granted
                self.give(amount)
            elif not granted:
                self._waiting.remove(waiter)
        if not granted:
            raise Busy

    def give(self, amount: int) -> None:
        """Return an amount and grant it to waiting requests that fit."""
        self._left += amount
        for waiter in [*self._waiting]:
            if waiter.amount <= self._left:
                self._left -= waiter.amount
                self._waiting.remove(waiter)
                waiter.granted.set_result(None)
