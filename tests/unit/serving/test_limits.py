"""Memory budgets that requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from furiosa_models.serving.limits import Budget, Busy, Limits


def run(awaitable: Awaitable[Any]) -> None:
    async def main() -> None:
        await asyncio.wait_for(awaitable, 30)

    asyncio.run(main())


async def let_wait(*tasks: asyncio.Task[None]) -> None:
    """Let tasks run until they wait for something."""
    while not all(task.done() for task in tasks) and len(asyncio.all_tasks()) < len(tasks):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


def test_small_requests_pass_large_waiting_ones() -> None:
    async def main() -> None:
        budget = Budget(10, max_waiting=9, timeout=20)
        await budget.take(8)
        large = asyncio.create_task(budget.take(5))
        await let_wait(large)
        assert not large.done()
        await budget.take(2)
        small = asyncio.create_task(budget.take(1))
        await let_wait(small)
        assert not small.done()
        budget.give(2)
        await small
        assert not large.done()
        budget.give(8)
        await large
        budget.give(6)
        async with budget.taken(10):
            pass
        await budget.take(10)

    run(main())


def test_waiting_time_and_queue_length_are_limited() -> None:
    async def main() -> None:
        budget = Budget(1, max_waiting=1, timeout=0.05)
        await budget.take(1)
        waiting = asyncio.create_task(budget.take(1))
        await let_wait(waiting)
        with pytest.raises(Busy):
            await budget.take(1)
        with pytest.raises(Busy):
            await waiting
        budget.give(1)
        await budget.take(1)

    run(main())


@pytest.mark.parametrize("granted", [False, True])
def test_canceled_request_releases_its_budget(granted: bool) -> None:
    async def main() -> None:
        budget = Budget(1, max_waiting=1, timeout=20)
        await budget.take(1)
        waiting = asyncio.create_task(budget.take(1))
        await let_wait(waiting)
        if granted:
            budget.give(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not granted:
            budget.give(1)
        await budget.take(1)

    run(main())


def test_limits_are_checked() -> None:
    assert Limits().body_memory + Limits().photo_memory == Limits().max_memory
    with pytest.raises(ValueError, match="queue_timeout must be more than 0, got 0"):
        Limits(queue_timeout=0)
    with pytest.raises(ValueError, match=r"at least four times max_bytes=67108864"):
        Limits(max_memory=255 << 20)
