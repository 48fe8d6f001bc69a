"""Queues of the runtime: a bounded channel before the workers and one behind them.

At process exit, open queues are closed and their workers are joined, so that no thread is inside a
library's inference while the interpreter shuts down.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy.typing as npt

from .errors import FuriosaRuntimeError, QueueWaitTimeout, SessionClosed, SessionTerminated
from .tensor import Model, as_tensors

__all__ = ["DEFAULT_QUEUE_SIZE", "Channel", "Closed", "Pipeline", "Received", "WouldBlock"]

DEFAULT_QUEUE_SIZE = 256
"""Maximum number of waiting submissions, and of waiting results."""

Received: TypeAlias = "tuple[Any, list[npt.NDArray[Any]]]"
_Run: TypeAlias = "Callable[[Any], list[npt.NDArray[Any]]]"
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Session(Protocol):
    @property
    def model(self) -> Model: ...
    def run(self, inputs: Any, /) -> list[npt.NDArray[Any]]: ...


class Closed(Exception):
    """The channel is closed and, for a reader, empty."""


class WouldBlock(Exception):
    """The channel is full (or empty, for a reader), and the timeout has expired."""


class Channel(Generic[Item]):
    """A FIFO queue of bounded size.

    Args:
        capacity: Maximum number of items.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()

    def put(self, item: Item, timeout: float | None = None) -> None:
        """Append an item; wait while the channel is full.

        Args:
            item: The item.
            timeout: Seconds to wait; forever by default.

        Raises:
            Closed: The channel is closed, or was closed while waiting.
            WouldBlock: The channel stayed full.
        """

        def attempt() -> None:
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                raise WouldBlock
            self._items.append(item)

        self._wait(attempt, timeout)

    def get(self, timeout: float | None = None) -> Item:
        """Return the oldest item; wait while the channel is empty.

        Args:
            timeout: Seconds to wait; forever by default.

        Raises:
            Closed: The channel is closed and empty.
            WouldBlock: The channel stayed empty.
        """

        def attempt() -> Item:
            if self._items:
                return self._items.popleft()
            raise Closed if self._closed else WouldBlock

        return self._wait(attempt, timeout)

    def close(self, *, discard: bool = False) -> None:
        """Accept no more items. Existing items can still be taken, unless they are discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._notify()

    @contextmanager
    def listening(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back, from any thread, whenever the channel changes."""
        with self._changed:
            self._listeners.add(callback)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.discard(callback)

    def _wait(self, attempt: Callable[[], Result], timeout: float | None) -> Result:
        """Retry until the attempt succeeds or the timeout expires."""
        deadline = None if timeout is None else monotonic() + timeout
        with self._changed:
            while True:
                try:
                    result = attempt()
                except WouldBlock:
                    left = None if deadline is None else deadline - monotonic()
                    if left is not None and left <= 0:
                        raise
                    self._changed.wait(left)
                else:
                    self._notify()
                    return result

    def _notify(self) -> None:
        self._changed.notify_all()
        for callback in [*self._listeners]:
            callback()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Result of a submission: outputs or an error."""

    context: Any
    outputs: list[npt.NDArray[Any]]
    error: BaseException | None = None


class Pipeline:
    """Workers between two queues. It ends when the submitter or the receiver is closed.

    Args:
        session: Session that all workers share.
        workers: Number of threads.
        input_size: Maximum number of waiting submissions.
        output_size: Maximum number of waiting results.

    Attributes:
        model: Description of the program's inputs and outputs.
        inputs: The input queue.
        outputs: The output queue.
    """

    def __init__(self, session: _Session, workers: int, input_size: int, output_size: int) -> None:
        self.model = session.model
        self.inputs: Channel[tuple[Any, Any]] = Channel(input_size)
        self.outputs: Channel[_Outcome] = Channel(output_size)
        self._submitting = self._receiving = True
        # The threads reference the queues but not this object, so that it can be collected.
        self._workers = _WorkerPool(session.run, self.inputs, self.outputs, workers)
        self._workers.start()

    def submit(self, inputs: Any, context: Any) -> None:
        """Check inputs and put them into the queue.

        Raises:
            InvalidInput: The inputs do not fit the model.
            SessionClosed: The submitter was closed.
            SessionTerminated: The receiver was closed, or the workers died.
        """
        self.put(self.check(inputs), context)

    def check(self, inputs: Any) -> list[npt.NDArray[Any]]:
        """Return the inputs as a list of arrays.

        Raises:
            InvalidInput: The inputs do not fit the model.
        """
        return self.model.check(as_tensors(inputs))

    def put(self, inputs: Any, context: Any, timeout: float | None = None) -> None:
        """Put checked inputs into the queue.

        Raises:
            WouldBlock: The queue stayed full.
            SessionClosed: The submitter was closed.
            SessionTerminated: The receiver was closed, or the workers died.
        """
        if not self._submitting:
            msg = "the submitter is closed"
            raise SessionClosed(msg)
        self._close_if_workers_died()
        try:
            self.inputs.put((context, inputs), timeout)
        except Closed:
            msg = "submissions are no longer accepted: the receiver was closed, or the workers died"
            raise SessionTerminated(msg) from None

    def take(self, timeout: float | None = None) -> Received:
        """Return the next result.

        Raises:
            WouldBlock: No result arrived in time.
            SessionClosed: The receiver was closed.
            SessionTerminated: No more results will come.
            FuriosaRuntimeError: The inference failed; the message contains its context.
        """
        self._close_if_workers_died()
        try:
            outcome = self.outputs.get(timeout)
        except Closed:
            if not self._receiving:
                msg = "the receiver is closed"
                raise SessionClosed(msg) from None
            msg = "no more results will come: the submitter was closed, or the workers died"
            raise SessionTerminated(msg) from None
        if outcome.error is not None:
            msg = f"the inference with context {outcome.context!r} failed: {outcome.error}"
            raise FuriosaRuntimeError(msg) from outcome.error
        return outcome.context, outcome.outputs

    def recv(self, timeout: float | None = None) -> Received:
        """Return the next result.

        Raises:
            QueueWaitTimeout: No result arrived in time.
            SessionClosed: The receiver was closed.
            SessionTerminated: No more results will come.
            FuriosaRuntimeError: The inference failed; the message contains its context.
        """
        try:
            return self.take(timeout)
        except WouldBlock:
            msg = f"no result arrived within {timeout} s"
            raise QueueWaitTimeout(msg) from None

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return new input tensors filled with zeros."""
        return self.model.allocate()

    def close_submitter(self) -> bool:
        """Accept no more submissions; run those in the queue. Return True on the first call."""
        was_open, self._submitting = self._submitting, False
        self.inputs.close()
        return was_open

    def close_receiver(self) -> bool:
        """Discard all submissions and results. Return True on the first call."""
        was_open, self._receiving = self._receiving, False
        self.inputs.close(discard=True)
        self.outputs.close(discard=True)
        return was_open

    def join(self) -> None:
        """Wait until the workers have exited."""
        self._workers.join()

    def _close_if_workers_died(self) -> None:
        """Close the queues if no worker is alive, as in a forked process."""
        if not self._workers.is_alive():
            self.inputs.close(discard=True)
            self.outputs.close()


class _WorkerPool:
    """Worker threads; the last one to exit closes both queues."""

    def __init__(
        self,
        run: _Run,
        inputs: Channel[tuple[Any, Any]],
        outputs: Channel[_Outcome],
        size: int,
    ) -> None:
        self._run, self._inputs, self._outputs = run, inputs, outputs
        self._running = size
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]

    def start(self) -> None:
        """Start the workers."""
        _worker_pools.add(self)
        for thread in self._threads:
            thread.start()

    def is_alive(self) -> bool:
        """Return whether any worker is alive; in a forked process none is."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Make the workers exit after their current inference."""
        self._inputs.close(discard=True)
        self._outputs.close(discard=True)

    def join(self) -> None:
        """Wait until the workers have exited."""
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """Run submissions until the input queue is closed."""
        try:
            while True:
                self._outputs.put(self._outcome(*self._inputs.get()))
        except Closed:
            pass
        finally:  # whatever happened, nobody must wait for this worker forever
            self._leave()

    def _outcome(self, context: Any, inputs: Any) -> _Outcome:
        try:
            return _Outcome(context, self._run(inputs))
        except BaseException as error:  # the receiver raises it
            return _Outcome(context, [], error)

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._inputs.close(discard=True)
                self._outputs.close()
                _worker_pools.discard(self)


_worker_pools: set[_WorkerPool] = set()
"""Worker pools of this process that are still running."""


@atexit.register
def _stop_all() -> None:
    """Wait for running inferences: the process would abort if it exited inside one."""
    pools = [*_worker_pools]
    for pool in pools:
        pool.stop()
    for pool in pools:
        pool.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_worker_pools.clear)  # the workers stay with the parent
