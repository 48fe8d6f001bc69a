from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from furiosa_models.runtime import (
    FuriosaRuntimeError,
    Runtime,
    SessionClosed,
    SessionTerminated,
    TensorNameNotFound,
    create_queue,
    create_runner,
)

from .tiny import X, make_model, mnist_like

MODEL = make_model().SerializeToString()


def test_runner_is_awaited_or_used_as_context_manager() -> None:
    async def main() -> None:
        async with create_runner(MODEL, device="cpu") as entered:
            np.testing.assert_array_equal((await entered.run(X))[0], 2 * X)
        awaited = await create_runner(MODEL, device="cpu")
        first, second = await awaited.run(X), await awaited.run([X])
        (third,) = await awaited.run_with(["double"], {"x": X})
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first[0], third)
        assert awaited.backend == "onnxruntime"
        assert awaited.allocate()[0].shape == awaited.model.input(0).shape
        assert await awaited.close() is True
        assert await awaited.close() is False

    asyncio.run(main())


def test_many_concurrent_runs() -> None:
    async def main() -> None:
        async with create_runner(MODEL, device="cpu") as runner:
            results = await asyncio.gather(*(runner.run(X + i) for i in range(100)))
        for i, (double, _) in enumerate(results):
            np.testing.assert_array_equal(double, 2 * (X + i))

    asyncio.run(main())


def test_invalid_inputs_are_rejected() -> None:
    async def main() -> None:
        async with create_runner(MODEL, device="cpu") as runner:
            with pytest.raises(TypeError, match="expects float32, got float16"):
                await runner.run(X.astype(np.float16))
            with pytest.raises(ValueError, match="expects shape"):
                await runner.run(X[0])
            with pytest.raises(TensorNameNotFound, match="no output 'triple'"):
                await runner.run_with(["triple"], {"x": X})
        with pytest.raises(SessionClosed):
            await runner.run(X)
        with pytest.raises(SessionClosed):
            await runner.run_with(["double"], {"x": X})
        with pytest.raises(SessionClosed):
            runner.allocate()
        with pytest.raises(FuriosaRuntimeError, match="cannot load the 8 bytes"):
            await create_runner(b"no model", device="cpu")
        with pytest.raises(FuriosaRuntimeError, match="no key 'unknown'"):
            await create_runner(MODEL, device="cpu", compiler_config={"unknown": True})

    asyncio.run(main())


def test_batch_size_is_set() -> None:
    async def main() -> None:
        async with create_runner(mnist_like(), device="cpu", batch_size=4) as runner:
            assert runner.model.input(0).shape == (4, 1, 28, 28)

    asyncio.run(main())


def test_queue_returns_all_results() -> None:
    async def main() -> None:
        sizes = {"input_queue_size": 2, "output_queue_size": 2}
        async with create_queue(MODEL, device="cpu", **sizes) as (submitter, receiver):  # type: ignore[arg-type]

            async def submit() -> None:
                async with submitter:
                    for i in range(30):
                        await submitter.submit(X + i, context=i)

            task = asyncio.create_task(submit())
            received = {context: outputs async for context, outputs in receiver}
            await task
            assert sorted(received) == list(range(30))
            np.testing.assert_array_equal(received[3][0], 2 * (X + 3))

    asyncio.run(main())


def test_awaited_queue_and_closing_of_its_ends() -> None:
    async def main() -> None:
        submitter, receiver = await create_queue(MODEL, device="cpu")
        assert submitter.model.input_num == receiver.model.input_num == 1
        with pytest.raises(TypeError, match="expects float32, got uint8"):
            await submitter.submit(X.astype(np.uint8))
        await submitter.submit(submitter.allocate())
        assert (await receiver.recv())[0] is None
        assert await submitter.close() is True
        assert await submitter.close() is False
        with pytest.raises(SessionClosed):
            await submitter.submit(X)
        with pytest.raises(SessionTerminated):
            await receiver.recv()
        assert await receiver.close() is True
        with pytest.raises(SessionClosed):
            await receiver.recv()

    asyncio.run(main())


def test_canceled_recv_loses_no_result() -> None:
    async def main() -> None:
        async with create_queue(MODEL, device="cpu") as (submitter, receiver):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(receiver.recv(), 0.02)
            await submitter.submit(X, "kept")
            context, _ = await asyncio.wait_for(receiver.recv(), 5)
            assert context == "kept"

    asyncio.run(main())


def test_closing_the_receiver_wakes_waiting_tasks() -> None:
    async def main() -> None:
        submitter, receiver = await create_queue(MODEL, device="cpu")
        waiting = asyncio.create_task(receiver.recv())
        await asyncio.sleep(0.02)
        await receiver.close()
        with pytest.raises(SessionClosed):
            await waiting
        with pytest.raises(SessionTerminated):
            await submitter.submit(X)

    asyncio.run(main())


def test_runtime_closes_its_runners_and_queues() -> None:
    async def main() -> None:
        async with Runtime("cpu") as runtime:
            runner = await runtime.create_runner(MODEL)
            submitter, receiver = await runtime.create_queue(MODEL)
            assert len(await runner.run(X)) == 2
            await submitter.submit(X, 1)
            assert (await receiver.recv())[0] == 1
        assert await runtime.close() is False
        with pytest.raises(SessionClosed):
            await runner.run(X)
        with pytest.raises(SessionClosed):
            await submitter.submit(X)
        with pytest.raises(SessionClosed):
            await runtime.create_runner(MODEL)
        with pytest.raises(SessionClosed):
            await runtime.create_queue(MODEL)

    asyncio.run(main())


def _rounds(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    asyncio.run(main())
    gc.collect()
    return threading.active_count()


def test_threads_and_memory_do_not_leak() -> None:
    async def main() -> None:
        for _ in range(100):
            async with create_runner(MODEL, device="cpu") as runner:
                await runner.run(X)
            async with create_queue(MODEL, device="cpu") as (submitter, receiver):
                await submitter.submit(X)
                await receiver.recv()
            forgotten = await create_runner(MODEL, device="cpu")
            await forgotten.run(X)
            ends = await create_queue(MODEL, device="cpu")
            await ends.submitter.submit(X)

    before = _rounds(main)
    assert _rounds(main) <= before
