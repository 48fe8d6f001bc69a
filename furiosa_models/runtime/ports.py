"""The two ends of a blocking queue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from .errors import SessionClosed, SessionTerminated
from .model import Model
from .npu import FuriosaQueue
from .queues import Pipeline, Received
from .tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["QueuePair", "Receiver", "Submitter"]


class _End:
    """What the two ends have in common."""

    def __init__(self, queue: Pipeline | FuriosaQueue) -> None:
        self._queue = queue
        self._closed = False

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        self._check_open()
        model: Model = self._queue.model
        return model

    def close(self) -> bool:
        """Close it; True the first time."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = f"the {type(self).__name__.lower()} is closed"
            raise SessionClosed(msg)


class Submitter(_End):
    """The end of a queue that takes inputs; safe to use from many threads."""

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors, all zero."""
        self._check_open()
        return self._queue.allocate()

    def submit(self, inputs: Tensor | Sequence[Tensor], context: Any = None) -> None:
        """Put one input, or a list of them, into the queue; waits while that is full.

        The inputs are not copied: they must not change before the result is there.

        Args:
            inputs: The inputs.
            context: What `Receiver.recv` gives along with the outputs.

        Raises:
            TypeError: An input has the wrong dtype.
            InvalidInput: An input has the wrong shape, or there are too many or too few.
            SessionClosed: The submitter was closed.
            SessionTerminated: The receiver was closed.
        """
        self._check_open()
        self._queue.submit(inputs, context)

    def close(self) -> bool:
        """Take no more inputs; those in the queue are still run. True the first time."""
        self._closed = True
        return self._queue.close_submitter()

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self._queue.close_submitter()


class Receiver(_End):
    """The end of a queue that gives results, in the order in which they are done.

    Iterating gives results until the submitter is closed and all have come.
    """

    def recv(self, timeout: float | None = None) -> Received:
        """A result: the context of its submission, and the outputs.

        Args:
            timeout: Seconds to wait; as long as it takes by default.

        Raises:
            ValueError: The timeout is negative, or not finite.
            QueueWaitTimeout: None came in time (a `TimeoutError`).
            SessionTerminated: The submitter was closed, and all results have come.
            SessionClosed: The receiver was closed.
            FuriosaRuntimeError: This inference failed; the message has its context.
        """
        self._check_open()
        if timeout is not None and not 0 <= timeout < math.inf:
            msg = f"timeout must be a finite number of seconds and not negative, got {timeout!r}"
            raise ValueError(msg)
        return self._queue.recv(timeout)

    def close(self) -> bool:
        """Give no more results, and run nothing any more. True the first time."""
        self._closed = True
        was_open = self._queue.close_receiver()
        self._queue.join()
        return was_open

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Received:
        try:
            return self.recv()
        except (SessionClosed, SessionTerminated):
            raise StopIteration from None

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self._queue.close_receiver()


class QueuePair(NamedTuple):
    """The two ends of a queue; as a context manager it closes both.

    Attributes:
        submitter: Takes inputs.
        receiver: Gives results.
    """

    submitter: Submitter
    receiver: Receiver

    @classmethod
    def of(cls, queue: Pipeline | FuriosaQueue) -> QueuePair:
        """The two ends of one queue."""
        return cls(Submitter(queue), Receiver(queue))

    def __enter__(self) -> QueuePair:
        return self

    def __exit__(self, *_: object) -> None:
        self.submitter.close()
        self.receiver.close()
