"""The asyncio runtime; public in `furiosa_models.runtime`.

It uses the same sessions and queues as the blocking one: sessions run in threads, and queues are
awaited without threads. A backend with its own asyncio runtime is used directly.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy.typing as npt
from typing_extensions import Self

from .backends import find_backend
from .backends.base import (
    Arrays,
    AwaitableConnection,
    AwaitableQueue,
    AwaitableSession,
    BlockingSession,
)
from .devices import Choice, choose, resolve
from .errors import SessionClosed, SessionTerminated
from .machine import available_cpus
from .queue import Channel, Pipeline, Received, WouldBlock
from .source import ModelSource, Precision, RunnerOptions
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

Result = TypeVar("Result")


def create_runner(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
    shared: bool = False,
) -> Pending[Runner]:
    """Create a runner: `await` the result, or use it with `async with`.

    Arguments and errors are those of `furiosa_models.runtime.sync.create_runner`.
    """
    options = RunnerOptions(worker_num, batch_size, compiler_config, precision, shared=shared)
    return Pending(lambda: _create_runner(choose(device), model, options))


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
    """Create a submitter and a receiver: `await` the result, or use it with `async with`.

    Arguments and errors are those of `furiosa_models.runtime.sync.create_queue`.
    """
    sizes = input_queue_size, output_queue_size
    options = RunnerOptions(worker_num, batch_size, compiler_config, precision, *sizes)
    return Pending(lambda: _create_queue(choose(device), model, options))


class Runtime:
    """A device on which to create runners and queues; closing it closes them.

    Arguments, attributes and errors are those of `furiosa_models.runtime.sync.Runtime`.
    """

    def __init__(self, device: str | None = None) -> None:
        self.choice = choose(device)
        self._closed = False
        self._created: weakref.WeakSet[Runner | Submitter | Receiver] = weakref.WeakSet()
        backend = find_backend(self.choice.backend)
        own = backend.awaitable if backend else None
        self._connection = own.connect(self.choice.device) if own else None

    def create_runner(
        self,
        model: ModelSource,
        *,
        worker_num: int | None = None,
        batch_size: int | None = None,
        compiler_config: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> Pending[Runner]:
        """Create a runner on this device; see `create_runner`."""
        options = RunnerOptions(worker_num, batch_size, compiler_config, precision)

        async def create() -> Runner:
            self._check_open()
            runner = await _create_runner(self.choice, model, options, self._connection)
            self._created.add(runner)
            return runner

        return Pending(create)

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
        """Create a submitter and a receiver on this device; see `create_queue`."""
        sizes = input_queue_size, output_queue_size
        options = RunnerOptions(worker_num, batch_size, compiler_config, precision, *sizes)

        async def create() -> QueuePair:
            self._check_open()
            pair = await _create_queue(self.choice, model, options, self._connection)
            self._created.update(pair)
            return pair

        return Pending(create)

    async def close(self) -> bool:
        """Close the runtime and everything created on it. Return True on the first call."""
        was_open, self._closed = not self._closed, True
        for created in [*self._created]:
            await created.close()
        if was_open and self._connection is not None:
            await self._connection.close()
        return was_open

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "the runtime is closed: create a new one"
            raise SessionClosed(msg)


class _Closable:
    """Base of objects that can be used until they are closed."""

    def __init__(self) -> None:
        self._closed = False

    async def close(self) -> bool:
        """Close it. Return True on the first call."""
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
    """A loaded model. Tasks may run inferences concurrently.

    Attributes:
        choice: The device it runs on, and why.
    """

    def __init__(self, session: AwaitableSession, choice: Choice) -> None:
        super().__init__()
        self._session = session
        self.choice = choice

    @property
    def backend(self) -> str:
        """Name of the backend: `furiosa`, `onnxruntime`, `openvino`, `litert` or a user's own."""
        return self.choice.backend

    @property
    def model(self) -> Model:
        """Description of the program's inputs and outputs."""
        self._check_open()
        model: Model = self._session.model
        return model

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return new input tensors filled with zeros."""
        self._check_open()
        return self._session.allocate()

    async def run(self, inputs: Tensor | Sequence[Tensor]) -> list[npt.NDArray[Any]]:
        """Return the outputs for one input or a list; see `furiosa_models.runtime.sync.Runner`."""
        self._check_open()
        return await self._session.run(inputs)

    async def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, Tensor]
    ) -> list[npt.NDArray[Any]]:
        """Return the named outputs for inputs by name; see `furiosa_models.runtime.sync.Runner`."""
        self._check_open()
        return await self._session.run_with(output_names, inputs)

    async def _close(self) -> None:
        await self._session.close()


class Submitter(_Closable):
    """The input end of a queue."""

    def __init__(self, queue: AwaitableQueue) -> None:
        super().__init__()
        self._queue = queue

    @property
    def model(self) -> Model:
        """Description of the program's inputs and outputs."""
        self._check_open()
        model: Model = self._queue.model
        return model

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return new input tensors filled with zeros."""
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
    """The output end of a queue. Results come in the order in which they complete.

    `async for` yields results until the submitter is closed and all results were received.
    """

    def __init__(self, queue: AwaitableQueue) -> None:
        super().__init__()
        self._queue = queue

    @property
    def model(self) -> Model:
        """Description of the program's inputs and outputs."""
        self._check_open()
        model: Model = self._queue.model
        return model

    async def recv(self) -> Received:
        """Return the next result; see `furiosa_models.runtime.sync.Receiver`.

        Use `asyncio.wait_for` or `asyncio.timeout` to limit the wait; a timeout loses no result.
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


class _ThreadedSession:
    """A blocking session run in a thread pool."""

    def __init__(self, session: BlockingSession) -> None:
        self.model = session.model
        self._session = session
        self._threads = ThreadPoolExecutor(available_cpus(), "furiosa-models-runner")

    def allocate(self) -> Arrays:
        return self._session.allocate()

    async def run(self, inputs: object) -> Arrays:
        return await self._in_thread(self._session.run, inputs)

    async def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        return await self._in_thread(self._session.run_with, output_names, inputs)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    async def _in_thread(self, work: Callable[..., Result], *args: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


class _AwaitedPipeline:
    """A pipeline awaited without threads."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.model = pipeline.model
        self._pipeline = pipeline

    def allocate(self) -> Arrays:
        return self._pipeline.allocate()

    async def submit(self, inputs: Any, context: Any) -> None:
        pipeline, tensors = self._pipeline, self._pipeline.check(inputs)
        await when_possible(pipeline.inputs, lambda: pipeline.put(tensors, context, 0))

    async def recv(self) -> Received:
        return await when_possible(self._pipeline.outputs, lambda: self._pipeline.take(0))

    async def close_submitter(self) -> bool:
        return self._pipeline.close_submitter()

    async def close_receiver(self) -> bool:
        was_open = self._pipeline.close_receiver()
        await asyncio.to_thread(self._pipeline.join)
        return was_open

    def abandon_submitter(self) -> None:
        self._pipeline.close_submitter()

    def abandon_receiver(self) -> None:
        self._pipeline.close_receiver()


class _Manager(Protocol):
    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *_: object) -> None: ...


Managed = TypeVar("Managed", bound=_Manager)


class Pending(Generic[Managed]):
    """An object that is created when it is awaited or entered with `async with`.

    Args:
        create: Creates it.
    """

    def __init__(self, create: Callable[[], Awaitable[Managed]]) -> None:
        self._create = create
        self._entered: list[Managed] = []

    def __await__(self) -> Generator[Any, None, Managed]:
        return self._create().__await__()

    async def __aenter__(self) -> Managed:
        created = await self
        self._entered.append(created)
        await created.__aenter__()
        return created

    async def __aexit__(self, *error: object) -> None:
        await self._entered.pop().__aexit__(*error)


async def when_possible(channel: Channel[Any], attempt: Callable[[], Result]) -> Result:
    """Call `attempt` until it does not raise `WouldBlock`; return its result.

    No thread waits meanwhile. Cancellation is safe: `attempt` has either completed or had no
    effect.

    Args:
        channel: Channel whose changes may unblock the attempt.
        attempt: Function that must not block.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(changed.set)

    with channel.listening(wake):
        while True:
            changed.clear()
            with suppress(WouldBlock):
                return attempt()
            await changed.wait()


async def _create_runner(
    choice: Choice,
    model: ModelSource,
    options: RunnerOptions,
    connection: AwaitableConnection | None = None,
) -> Runner:
    found = await asyncio.to_thread(resolve, choice, model, options, may_tune=True)
    choice, backend, program, options = found
    session: AwaitableSession
    if backend.awaitable is not None:
        opening = backend.awaitable.open_session(program, choice.device, options, connection)
        session = await opening
    else:
        loaded = await asyncio.to_thread(backend.open_session, program, choice.device, options)
        session = _ThreadedSession(loaded)
    return Runner(session, choice)


async def _create_queue(
    choice: Choice,
    model: ModelSource,
    options: RunnerOptions,
    connection: AwaitableConnection | None = None,
) -> QueuePair:
    found = await asyncio.to_thread(resolve, choice, model, options)
    choice, backend, program, options = found
    queue: AwaitableQueue
    if backend.awaitable is not None:
        queue = await backend.awaitable.open_queue(program, choice.device, options, connection)
    else:
        pipeline = await asyncio.to_thread(backend.open_pipeline, program, choice.device, options)
        queue = _AwaitedPipeline(pipeline)
    return QueuePair(Submitter(queue), Receiver(queue))
