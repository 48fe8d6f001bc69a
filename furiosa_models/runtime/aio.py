"""The awaitable runtime; public in `furiosa_models.runtime`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy.typing as npt
from typing_extensions import Self

from .backends import Session
from .backends.furiosa import given, vendor, vendor_errors
from .devices import Choice, choose
from .errors import SessionClosed, SessionTerminated
from .machine import available_cpus
from .opening import Order, npu_source, settled
from .queue import Channel, NotNow, Pipeline, Received
from .source import ModelSource, Precision
from .tensor import Model, Tensor

__all__ = [
    "QueuePair",
    "Receiver",
    "Runner",
    "Runtime",
    "Submitter",
    "create_queue",
    "create_runner",
]

VENDOR = "furiosa.runtime"

Arrays = list[npt.NDArray[Any]]
Result = TypeVar("Result")


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


class _Closable:
    """What is used until it is closed."""

    def __init__(self) -> None:
        self._closed = False

    async def close(self) -> bool:
        """Close it; True the first time."""
        was_open, self._closed = not self._closed, True
        if was_open:
            await self._close()
        return was_open

    async def _close(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = f"the {type(self).__name__.lower()} is closed"
            raise SessionClosed(msg)


class Runner(_Closable):
    """A loaded model; any number of tasks may run inferences at the same time.

    Attributes:
        choice: The device it runs on, and why.
    """

    def __init__(self, backend: CpuRunner | NpuRunner, choice: Choice) -> None:
        super().__init__()
        self._backend = backend
        self.choice = choice

    @property
    def backend(self) -> str:
        """`furiosa`, `onnxruntime`, `openvino` or `litert`."""
        return self.choice.backend

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        self._check_open()
        model: Model = self._backend.model
        return model

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors, all zero."""
        self._check_open()
        return self._backend.allocate()

    async def run(self, inputs: Tensor | Sequence[Tensor]) -> list[npt.NDArray[Any]]:
        """Outputs for one input or a list of them; see `furiosa_models.runtime.sync.Runner`."""
        self._check_open()
        return await self._backend.run(inputs)

    async def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, Tensor]
    ) -> list[npt.NDArray[Any]]:
        """The named outputs for inputs by name; see `furiosa_models.runtime.sync.Runner`."""
        self._check_open()
        return await self._backend.run_with(output_names, inputs)

    async def _close(self) -> None:
        await self._backend.close()


class Submitter(_Closable):
    """The end of a queue that takes inputs."""

    def __init__(self, queue: CpuQueue | NpuQueue) -> None:
        super().__init__()
        self._queue = queue

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        self._check_open()
        model: Model = self._queue.model
        return model

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors, all zero."""
        self._check_open()
        return self._queue.allocate()

    async def submit(self, inputs: Tensor | Sequence[Tensor], context: Any = None) -> None:
        """Put inputs into the queue; see `furiosa_models.runtime.sync.Submitter`."""
        self._check_open()
        await self._queue.submit(inputs, context)

    async def _close(self) -> None:
        await self._queue.close_submitter()

    def __del__(self) -> None:
        self._queue.abandon_submitter()


class Receiver(_Closable):
    """The end of a queue that gives results, in the order in which they are done.

    `async for` gives results until the submitter is closed and all have come.
    """

    def __init__(self, queue: CpuQueue | NpuQueue) -> None:
        super().__init__()
        self._queue = queue

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        self._check_open()
        model: Model = self._queue.model
        return model

    async def recv(self) -> Received:
        """A result; see `furiosa_models.runtime.sync.Receiver`.

        `asyncio.wait_for` and `asyncio.timeout` limit the waiting; no result is lost by them.
        """
        self._check_open()
        return await self._queue.recv()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received:
        try:
            return await self.recv()
        except (SessionClosed, SessionTerminated):
            raise StopAsyncIteration from None

    async def _close(self) -> None:
        await self._queue.close_receiver()

    def __del__(self) -> None:
        self._queue.abandon_receiver()


class QueuePair(NamedTuple):
    """The two ends of a queue; `async with` closes both.

    Attributes:
        submitter: Takes inputs.
        receiver: Gives results.
    """

    submitter: Submitter
    receiver: Receiver

    async def __aenter__(self) -> QueuePair:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.submitter.close()
        await self.receiver.close()


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
