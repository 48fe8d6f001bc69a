"""The awaitable runtime's ways to make things; public in `furiosa_models.runtime`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from typing import Any

from typing_extensions import Self

from .aio import CpuQueue, CpuRunner, NpuQueue, NpuRunner
from .awaitable import QueuePair, Receiver, Runner, Submitter
from .devices import Choice, choose
from .errors import SessionClosed
from .npu import given, vendor, vendor_errors
from .opening import Order, npu_source, settled
from .source import ModelSource, Precision
from .waiting import Pending

__all__ = ["Runtime", "create_queue", "create_runner"]

VENDOR = "furiosa.runtime"


def create_runner(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
) -> Pending[Runner]:
    """A runner: `await` it, or enter it with `async with`.

    Arguments and errors are those of `furiosa_models.runtime.sync.create_runner`.
    """
    order = Order(worker_num, batch_size, compiler_config, precision)
    return Pending(lambda: _runner(choose(device), None, model, order))


def create_queue(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    input_queue_size: int | None = None,
    output_queue_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
) -> Pending[QueuePair]:
    """A submitter and a receiver: `await` them, or enter them with `async with`.

    Arguments and errors are those of `furiosa_models.runtime.sync.create_queue`.
    """
    sizes = input_queue_size, output_queue_size
    order = Order(worker_num, batch_size, compiler_config, precision, *sizes)
    return Pending(lambda: _queue(choose(device), None, model, order))


class Runtime:
    """A device on which runners and queues are made; closing it closes them.

    Arguments, attributes and errors are those of `furiosa_models.runtime.sync.Runtime`.
    """

    def __init__(self, device: str | None = None) -> None:
        self.choice = choose(device)
        self._vendor: Any = None
        self._closed = False
        self._made: weakref.WeakSet[Runner | Submitter | Receiver] = weakref.WeakSet()
        if self.choice.is_npu:
            with vendor_errors():
                self._vendor = vendor(VENDOR).Runtime(self.choice.device)

    def create_runner(
        self,
        model: ModelSource,
        *,
        worker_num: int | None = None,
        batch_size: int | None = None,
        compiler_config: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> Pending[Runner]:
        """A runner on this device; see `create_runner`."""
        order = Order(worker_num, batch_size, compiler_config, precision)

        async def make() -> Runner:
            self._check_open()
            runner = await _runner(self.choice, self._vendor, model, order)
            self._made.add(runner)
            return runner

        return Pending(make)

    def create_queue(
        self,
        model: ModelSource,
        *,
        worker_num: int | None = None,
        batch_size: int | None = None,
        input_queue_size: int | None = None,
        output_queue_size: int | None = None,
        compiler_config: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> Pending[QueuePair]:
        """A submitter and a receiver on this device; see `create_queue`."""
        sizes = input_queue_size, output_queue_size
        order = Order(worker_num, batch_size, compiler_config, precision, *sizes)

        async def make() -> QueuePair:
            self._check_open()
            pair = await _queue(self.choice, self._vendor, model, order)
            self._made.update(pair)
            return pair

        return Pending(make)

    async def close(self) -> bool:
        """Close it and all that was made on it; True the first time."""
        was_open, self._closed = not self._closed, True
        for made in [*self._made]:
            await made.close()
        if was_open and self._vendor is not None:
            with vendor_errors():
                await self._vendor.close()
        return was_open

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "the runtime is closed: make a new one"
            raise SessionClosed(msg)


async def _runner(choice: Choice, runtime: Any, model: ModelSource, order: Order) -> Runner:
    if not choice.is_npu:
        session = await asyncio.to_thread(order.cpu_session, model, choice)
        return Runner(CpuRunner(session), settled(choice, session))
    source = await asyncio.to_thread(npu_source, model, choice.num_pe, order.precision)
    creator, device = (runtime, None) if runtime else (vendor(VENDOR), choice.device)
    with vendor_errors():
        options = given({"device": device, **order.npu_options()})
        return Runner(NpuRunner(await creator.create_runner(source, **options)), choice)


async def _queue(choice: Choice, runtime: Any, model: ModelSource, order: Order) -> QueuePair:
    if not choice.is_npu:
        pipeline = CpuQueue(await asyncio.to_thread(order.cpu_queue, model, choice))
        return QueuePair(Submitter(pipeline), Receiver(pipeline))
    source = await asyncio.to_thread(npu_source, model, choice.num_pe, order.precision)
    creator, device = (runtime, None) if runtime else (vendor(VENDOR), choice.device)
    with vendor_errors():
        options = given({"device": device, **order.npu_queue_options()})
        ends = NpuQueue(*(await creator.create_queue(source, **options)))
    return QueuePair(Submitter(ends), Receiver(ends))
