"""Batches that form of the jobs of several requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from furiosa_models.serving.batching import Batcher, Batching, Gone, Workers
from furiosa_models.serving.limits import Busy


class Meter:
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.queued: list[float] = []

    def batch_done(self, size: int, *, queued: Sequence[float], seconds: float) -> None:
        assert seconds >= 0
        self.sizes.append(size)
        self.queued += queued


class Bench:
    """A batcher whose batches wait until they are released."""

    def __init__(self, threads: int = 1, **options: Any) -> None:
        self.meter = Meter()
        self.release = threading.Event()
        self.batches: list[tuple[Any, list[Any], bool]] = []
        self.workers = Workers(threads)
        given: dict[str, Any] = {"max_batch": 4, "max_wait": 0.0, "timeout": 20.0, **options}
        self.batcher = Batcher(self.run, self.workers, meter=self.meter, **given)

    def run(self, key: Any, items: list[Any], is_alone: bool) -> list[Any]:
        assert self.release.wait(30)
        self.batches.append((key, items, is_alone))
        if "poison" in items:
            msg = "this batch is poisoned"
            raise RuntimeError(msg)
        return [ValueError("bad") if item == "bad" else f"{item}!" for item in items]

    def job(self, item: Any, key: Any = "", *, is_gone: bool = False) -> asyncio.Task[Any]:
        async def gone() -> bool:
            return is_gone

        return asyncio.ensure_future(self.batcher.result(key, item, gone))


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


async def pause() -> None:
    await asyncio.sleep(0.02)


def test_waiting_jobs_share_a_batch() -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.job("a")
        await pause()  # the only thread has it
        others = [bench.job(item) for item in "bcdefg"]
        await pause()
        bench.release.set()
        assert [await first, *await asyncio.gather(*others)] == [f"{x}!" for x in "abcdefg"]
        items = [items for _, items, _ in bench.batches]
        assert items == [["a"], ["b", "c", "d", "e"], ["f", "g"]]
        assert [is_alone for *_, is_alone in bench.batches] == [True, False, False]
        assert bench.meter.sizes == [1, 4, 2]
        assert len(bench.meter.queued) == 7
        assert bench.workers.free.taken_amount == 0

    run(main)


def test_jobs_of_different_keys_are_not_mixed_and_take_turns() -> None:
    async def main() -> None:
        bench = Bench(max_batch=2)
        first = bench.job("a", "x")
        await pause()
        others = [bench.job(item, "x") for item in "bcde"]
        other = bench.job("f", "y")
        await pause()
        bench.release.set()
        await asyncio.gather(first, other, *others)
        assert [(key, items) for key, items, _ in bench.batches] == [
            ("x", ["a"]),
            ("x", ["b", "c"]),
            ("y", ["f"]),
            ("x", ["d", "e"]),
        ]

    run(main)


def test_threads_run_batches_at_the_same_time() -> None:
    async def main() -> None:
        bench = Bench(threads=2, max_batch=1)
        jobs = [bench.job(item) for item in "abc"]
        await pause()
        assert bench.workers.free.taken_amount == 2
        bench.release.set()
        assert await asyncio.gather(*jobs) == ["a!", "b!", "c!"]

    run(main)


@pytest.mark.parametrize("count", [2, 4])
def test_first_job_waits_for_its_batch_to_be_filled(count: int) -> None:
    async def main() -> None:
        bench = Bench(max_wait=30.0 if count == 4 else 0.2)
        bench.release.set()
        jobs = []
        for item in "abcd"[:count]:
            jobs.append(bench.job(item))
            await pause()
        await asyncio.gather(*jobs)
        assert bench.meter.sizes == [count]

    run(main)


def test_failed_batch_runs_again_one_by_one() -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.job("a")
        await pause()
        jobs = [bench.job(item) for item in ("b", "poison", "bad", "c")]
        await pause()
        bench.release.set()
        found = await asyncio.gather(first, *jobs, return_exceptions=True)
        assert found[:2] == ["a!", "b!"]
        assert found[4] == "c!"
        assert isinstance(found[2], RuntimeError)
        assert isinstance(found[3], ValueError)

    run(main)


def test_waiting_job_expires_but_a_running_one_does_not() -> None:
    async def main() -> None:
        bench = Bench(timeout=0.1)
        running = bench.job("a")
        await pause()
        waiting = bench.job("b")
        with pytest.raises(Busy):
            await waiting
        bench.release.set()
        assert await running == "a!"
        assert await bench.job("c") == "c!"
        assert [items for _, items, _ in bench.batches] == [["a"], ["c"]]

    run(main)


def test_jobs_that_nobody_waits_for_do_not_run() -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.job("a")
        await pause()
        gone, canceled, last = bench.job("b", is_gone=True), bench.job("c"), bench.job("d")
        await pause()
        canceled.cancel()
        bench.release.set()
        with pytest.raises(Gone):
            await gone
        with pytest.raises(asyncio.CancelledError):
            await canceled
        assert [await first, await last] == ["a!", "d!"]
        assert bench.meter.sizes == [1, 1]
        assert bench.workers.free.taken_amount == 0

    run(main)


def test_job_canceled_while_it_runs_hurts_no_other() -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.job("a")
        await pause()
        first.cancel()
        bench.release.set()
        assert await bench.job("b") == "b!"

    run(main)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_batch": 0}, "max_batch must be at least 1, got 0"),
        ({"max_wait": -1.0}, "max_wait must be at least 0 and finite, got -1"),
        ({"max_wait": float("nan")}, "max_wait must be at least 0 and finite, got nan"),
    ],
)
def test_invalid_batching_is_explained(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Batching(**options)
