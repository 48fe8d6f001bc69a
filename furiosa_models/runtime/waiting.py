"""Bridges between event loops and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from .channel import Channel, NotNow

__all__ = ["Pending", "when_possible"]

Result = TypeVar("Result")


class _Manager(Protocol):
    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *_: object) -> None: ...


Managed = TypeVar("Managed", bound=_Manager)


class Pending(Generic[Managed]):
    """Something that is made when it is awaited, or entered with `async with`.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Awaitable[Managed]]) -> None:
        self._make = make
        self._made: list[Managed] = []

    def __await__(self) -> Generator[Any, None, Managed]:
        return self._make().__await__()

    async def __aenter__(self) -> Managed:
        made = await self
        self._made.append(made)
        await made.__aenter__()
        return made

    async def __aexit__(self, *error: object) -> None:
        await self._made.pop().__aexit__(*error)


async def when_possible(channel: Channel[Any], attempt: Callable[[], Result]) -> Result:
    """What `attempt` gives as soon as it does not raise `NotNow`.

    No thread waits for it, and nothing is lost when this is cancelled: `attempt` has happened, or
    it has not.

    Args:
        channel: Whatever changes there may make it possible.
        attempt: Must not block.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(changed.set)

    with channel.listening(wake):
        while True:
            changed.clear()
            with suppress(NotNow):
                return attempt()
            await changed.wait()
