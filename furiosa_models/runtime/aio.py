"""What the awaitable runtime runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy.typing as npt

from .backends import Session
from .machine import available_cpus
from .npu import vendor_errors
from .queues import Pipeline, Received
from .waiting import when_possible

__all__ = ["CpuQueue", "CpuRunner", "NpuQueue", "NpuRunner"]

Arrays = list[npt.NDArray[Any]]
Result = TypeVar("Result")


class CpuRunner:
    """A session in a few threads of its own."""

    def __init__(self, session: Session) -> None:
        self.model = session.model
        self._session = session
        self._threads = ThreadPoolExecutor(available_cpus(), "furiosa-models-runner")

    def allocate(self) -> Arrays:
        """Fresh input tensors, all zero."""
        return self._session.allocate()

    async def run(self, inputs: object) -> Arrays:
        """Outputs for one input or a list of them."""
        return await self._thread(self._session.run, inputs)

    async def run_with(self, names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """The named outputs for inputs by name."""
        return await self._thread(self._session.run_with, names, inputs)

    async def close(self) -> None:
        """Wait for what runs, and end the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _thread(self, work: Callable[..., Result], *args: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


class NpuRunner:
    """An awaitable runner of the vendor runtime."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self.model = runner.model

    def allocate(self) -> Arrays:
        """Fresh input tensors."""
        with vendor_errors():
            return list(self._runner.allocate())

    async def run(self, inputs: object) -> Arrays:
        """Outputs for one input or a list of them."""
        with vendor_errors():
            return list(await self._runner.run(inputs))

    async def run_with(self, names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """The named outputs for inputs by name."""
        with vendor_errors():
            return list(await self._runner.run_with(names, inputs))

    async def close(self) -> None:
        """Free the device."""
        with vendor_errors():
            await self._runner.close()


class CpuQueue:
    """A pipeline, waited for without threads."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.model = pipeline.model
        self._pipeline = pipeline

    def allocate(self) -> Arrays:
        """Fresh input tensors, all zero."""
        return self._pipeline.allocate()

    async def submit(self, inputs: object, context: object) -> None:
        """Put inputs into the queue as soon as there is room."""
        pipeline, tensors = self._pipeline, self._pipeline.check(inputs)
        await when_possible(pipeline.inputs, lambda: pipeline.put(tensors, context, 0))

    async def recv(self) -> Received:
        """Take a result as soon as there is one."""
        return await when_possible(self._pipeline.outputs, lambda: self._pipeline.take(0))

    async def close_submitter(self) -> bool:
        """Take no more submissions."""
        return self._pipeline.close_submitter()

    async def close_receiver(self) -> bool:
        """Give no more results, and wait until the workers have ended."""
        was_open = self._pipeline.close_receiver()
        await asyncio.to_thread(self._pipeline.join)
        return was_open

    def abandon_submitter(self) -> None:
        """The submitter was forgotten."""
        self._pipeline.close_submitter()

    def abandon_receiver(self) -> None:
        """The receiver was forgotten."""
        self._pipeline.close_receiver()


class NpuQueue:
    """An awaitable queue of the vendor runtime, which sees to forgotten ends itself."""

    def __init__(self, submitter: Any, receiver: Any) -> None:
        self._submitter, self._receiver = submitter, receiver
        self.model = submitter.model

    def allocate(self) -> Arrays:
        """Fresh input tensors."""
        with vendor_errors():
            return list(self._submitter.allocate())

    async def submit(self, inputs: object, context: object) -> None:
        """Put inputs into the queue."""
        with vendor_errors():
            await self._submitter.submit(inputs, context)

    async def recv(self) -> Received:
        """Take a result."""
        with vendor_errors():
            context, outputs = await self._receiver.recv()
        return context, list(outputs)

    async def close_submitter(self) -> bool:
        """Take no more submissions."""
        with vendor_errors():
            return bool(await self._submitter.close())

    async def close_receiver(self) -> bool:
        """Give no more results."""
        with vendor_errors():
            return bool(await self._receiver.close())

    def abandon_submitter(self) -> None:
        """Nothing: see above."""

    def abandon_receiver(self) -> None:
        """Nothing: see above."""
