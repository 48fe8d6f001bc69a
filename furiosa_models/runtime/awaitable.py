"""The awaitable runner and the two awaitable ends of a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
from typing_extensions import Self

from .aio import CpuQueue, CpuRunner, NpuQueue, NpuRunner
from .devices import Choice
from .errors import SessionClosed, SessionTerminated
from .model import Model
from .queues import Received
from .tensor import Tensor

__all__ = ["QueuePair", "Receiver", "Runner", "Submitter"]


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
