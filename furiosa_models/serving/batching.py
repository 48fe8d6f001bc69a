"""Dynamic batching: jobs of several requests that wait at the same time run as one batch."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from .limits import Budget, Busy

__all__ = ["Batcher", "Batching", "Gone", "Meter", "Workers"]


class Gone(Exception):
    """The client of a job has disconnected, so that nobody needs the result."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How jobs form batches.

    Attributes:
        max_batch: Maximum number of photos in a batch; None selects 1 on devices that run the
            inferences of several threads in parallel, such as a CPU, and 8 on others.
        max_wait: Seconds that a job waits for others to fill its batch. With 0, a batch consists of
            the jobs that are waiting when the model is free.

    Raises:
        ValueError: A value is out of range.
    """

    max_batch: int | None = None
    max_wait: float = 0.0

    def __post_init__(self) -> None:
        if self.max_batch is not None and self.max_batch < 1:
            msg = f"max_batch must be at least 1, got {self.max_batch}"
            raise ValueError(msg)
        if not 0 <= self.max_wait < float("inf"):
            msg = f"max_wait must be at least 0 and finite, got {self.max_wait}"
            raise ValueError(msg)


class Meter(Protocol):
    """Receiver of the figures of batches."""

    def batch_done(self, size: int, *, queued: Sequence[float], seconds: float) -> None:
        """Record a batch: its size, the seconds that each job waited, and those of the run."""


class Workers:
    """Threads that run batches; all models of a server share them.

    Args:
        count: Number of threads.
    """

    def __init__(self, count: int) -> None:
        self.free = Budget(count, max_waiting=sys.maxsize, timeout=None)
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="furiosa_models.serve")


@dataclass(eq=False, slots=True)
class _Job:
    item: Any
    is_gone: Callable[[], Awaitable[bool]]
    done: asyncio.Future[Any]
    since: float
    expiry: asyncio.TimerHandle | None = None

    def start_clock(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Give up after some seconds, unless the job has started."""
        self.expiry = loop.call_later(seconds, self.expire)
        self.done.add_done_callback(lambda _: self.stop_clock())

    def stop_clock(self) -> None:
        """Wait for as long as it takes."""
        if self.expiry is not None:
            self.expiry.cancel()

    def expire(self) -> None:
        """Give up waiting."""
        if not self.done.done():
            self.done.set_exception(Busy())


@dataclass(slots=True)
class _Group:
    """The waiting jobs that may share a batch, oldest first."""

    jobs: deque[_Job] = field(default_factory=deque)
    is_full: asyncio.Event = field(default_factory=asyncio.Event)
    dispatcher: asyncio.Task[None] | None = None


class Batcher:
    """Forms batches of the jobs of one model, and runs them in threads.

    Jobs with equal keys may share a batch. If a batch fails, its jobs run again one by one, so that
    a job fails only by its own fault.

    Args:
        run: Function of a key, the items of a batch, and whether nothing else is running; it
            returns an outcome for each item, in order: a value, or an exception.
        workers: Threads.
        max_batch: Maximum number of jobs in a batch.
        max_wait: Seconds that a job waits for its batch to be filled.
        timeout: Seconds that a job waits in all.
        meter: Receiver of figures.
    """

    def __init__(
        self,
        run: Callable[[Any, list[Any], bool], Sequence[Any]],
        workers: Workers,
        *,
        max_batch: int,
        max_wait: float,
        timeout: float,
        meter: Meter,
    ) -> None:
        self._run = run
        self._workers = workers
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._timeout = timeout
        self._meter = meter
        self._groups: dict[Hashable, _Group] = {}

    async def result(self, key: Hashable, item: Any, is_gone: Callable[[], Awaitable[bool]]) -> Any:
        """Return the value of an item.

        Args:
            key: Jobs with equal keys may share a batch.
            item: Argument of `run`.
            is_gone: Returns whether the client has disconnected, asked just before the job runs.

        Raises:
            Busy: The job has waited for too long.
            Gone: The client has disconnected.
            Exception: The outcome, if it is one.
        """
        loop = asyncio.get_running_loop()
        job = _Job(item, is_gone, loop.create_future(), loop.time())
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
            group.dispatcher = loop.create_task(self._dispatch(key, group))
        group.jobs.append(job)
        if len(group.jobs) >= self._max_batch:
            group.is_full.set()
        job.start_clock(loop, self._timeout)
        return await job.done

    async def _dispatch(self, key: Hashable, group: _Group) -> None:
        """Start batches as threads become free, until no job of the group waits."""
        try:
            while group.jobs:
                await self._fill(group)
                await self._workers.free.take(1)
                batch = await self._take(group)
                if batch:
                    self._start(key, batch, is_last=not group.jobs)
                else:
                    self._workers.free.give(1)
        finally:
            del self._groups[key]
            for job in group.jobs:  # only if the event loop ends
                job.done.cancel()

    async def _fill(self, group: _Group) -> None:
        """Wait until there are enough jobs for a batch, or the oldest has waited long enough."""
        group.is_full.clear()
        if not self._max_wait or len(group.jobs) >= self._max_batch:
            return
        left = group.jobs[0].since + self._max_wait - asyncio.get_running_loop().time()
        if left > 0:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(group.is_full.wait(), left)

    async def _take(self, group: _Group) -> list[_Job]:
        """Remove the jobs of a batch from the group, except those that nobody waits for."""
        batch: list[_Job] = []
        while group.jobs and len(batch) < self._max_batch:
            job = group.jobs.popleft()
            if job.done.done():
                continue
            is_gone = await job.is_gone()
            if job.done.done():  # it expired in the meantime
                continue
            if is_gone:
                job.done.set_exception(Gone())
            else:
                job.stop_clock()
                batch.append(job)
        return batch

    def _start(self, key: Hashable, batch: list[_Job], *, is_last: bool) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        queued = [now - job.since for job in batch]
        is_alone = is_last and len(batch) == 1 and self._workers.free.taken_amount == 1
        items = [job.item for job in batch]
        work = loop.run_in_executor(self._workers.pool, self._outcomes, key, items, is_alone)
        work.add_done_callback(partial(self._finish, batch, queued))

    def _outcomes(
        self, key: Hashable, items: list[Any], is_alone: bool
    ) -> tuple[Sequence[Any], float]:
        """Run a batch in a worker thread; return the outcomes and the seconds."""
        since = perf_counter()
        try:
            outcomes: Sequence[Any] = self._run(key, items, is_alone)
        except Exception as error:
            if len(items) == 1:
                outcomes = [error]
            else:
                outcomes = [self._outcomes(key, [item], False)[0][0] for item in items]
        return outcomes, perf_counter() - since

    def _finish(
        self,
        batch: list[_Job],
        queued: list[float],
        work: asyncio.Future[tuple[Sequence[Any], float]],
    ) -> None:
        self._workers.free.give(1)
        outcomes, seconds = work.result()
        self._meter.batch_done(len(batch), queued=queued, seconds=seconds)
        for job, outcome in zip(batch, outcomes, strict=True):
            if job.done.done():  # the request was canceled
                continue
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)
