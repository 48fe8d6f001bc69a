"""The queue of a runtime: a bounded channel in front of workers and one behind them.

When the process ends, queues that are open are closed and their workers are waited for, so that no
thread is inside a library's inference while the interpreter is torn down.
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
"""How many submissions, and how many results, may wait."""

Received: TypeAlias = "tuple[Any, list[npt.NDArray[Any]]]"
_Run: TypeAlias = "Callable[[Any], list[npt.NDArray[Any]]]"
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Session(Protocol):
    @property
    def model(self) -> Model: ...
    def run(self, inputs: Any, /) -> list[npt.NDArray[Any]]: ...


class Closed(Exception):
    """The channel is closed, and to a reader also empty."""


class WouldBlock(Exception):
    """The channel is full, or empty, and the time to wait is over."""


class Channel(Generic[Item]):
    """A first-in-first-out queue of bounded size.

    Args:
        capacity: Maximum number of items that it holds.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()

    def put(self, item: Item, timeout: float | None = None) -> None:
        """Append an item; wait for room.

        Args:
            item: The item.
            timeout: Seconds to wait; forever by default.

        Raises:
            Closed: The channel is closed, or was while this waited.
            WouldBlock: There was no room in time.
        """

        def attempt() -> None:
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                raise WouldBlock
            self._items.append(item)

        self._wait(attempt, timeout)

    def get(self, timeout: float | None = None) -> Item:
        """Return the oldest item; wait for one.

        Raises:
            Closed: The channel is closed and empty, or came to be while this waited.
            WouldBlock: None came in time.
        """

        def attempt() -> Item:
            if self._items:
                return self._items.popleft()
            raise Closed if self._closed else WouldBlock

        return self._wait(attempt, timeout)

    def close(self, *, discard: bool = False) -> None:
        """Take no more items; those it has can still be taken, unless they are discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._notify()

    @contextmanager
    def listening(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back, from any thread, whenever anything changes."""
        with self._changed:
            self._listeners.add(callback)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.discard(callback)

    def _wait(self, attempt: Callable[[], Result], timeout: float | None) -> Result:
        """Try until it succeeds or time is up."""
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
    """What came of a submission: outputs, or an error."""

    context: Any
    outputs: list[npt.NDArray[Any]]
    error: BaseException | None = None


class Pipeline:
    """Workers between two queues; ends when the submitter or the receiver is closed.

    Args:
        session: What runs; all workers share it.
        workers: Number of threads.
        input_size: Submissions that may wait for a worker.
        output_size: Results that may wait to be received.

    Attributes:
        model: What the program takes and gives.
        inputs: The queue in front.
        outputs: The queue behind.
    """

    def __init__(self, session: _Session, workers: int, input_size: int, output_size: int) -> None:
        self.model = session.model
        self.inputs: Channel[tuple[Any, Any]] = Channel(input_size)
        self.outputs: Channel[_Outcome] = Channel(output_size)
        self._submitting = self._receiving = True
        # The threads know the queues and not this object, which can thus be collected.
        self._workers = _WorkerPool(session.run, self.inputs, self.outputs, workers)
        self._workers.start()

    def submit(self, inputs: Any, context: Any) -> None:
        """Check inputs and put them into the queue; raise what `check` and `put` raise."""
        self.put(self.check(inputs), context)

    def check(self, inputs: Any) -> list[npt.NDArray[Any]]:
        """Return the inputs as a list of arrays; raise what `Model.check` raises."""
        return self.model.check(as_tensors(inputs))

    def put(self, inputs: Any, context: Any, timeout: float | None = None) -> None:
        """Put checked inputs into the queue; raise `WouldBlock` where there is no room in time.

        Raises:
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
            msg = "nobody takes submissions any more: the receiver was closed, or the workers died"
            raise SessionTerminated(msg) from None

    def take(self, timeout: float | None = None) -> Received:
        """Return a result; raise `WouldBlock` where none comes in time.

        Raises:
            SessionClosed: The receiver was closed.
            SessionTerminated: Nothing will come any more.
            FuriosaRuntimeError: This inference failed; the message has the context.
        """
        self._close_if_workers_died()
        try:
            outcome = self.outputs.get(timeout)
        except Closed:
            if not self._receiving:
                msg = "the receiver is closed"
                raise SessionClosed(msg) from None
            msg = "nothing will come any more: the submitter was closed, or the workers died"
            raise SessionTerminated(msg) from None
        if outcome.error is not None:
            msg = f"the inference with context {outcome.context!r} failed: {outcome.error}"
            raise FuriosaRuntimeError(msg) from outcome.error
        return outcome.context, outcome.outputs

    def recv(self, timeout: float | None = None) -> Received:
        """Return a result; raise `QueueWaitTimeout` where none comes in time."""
        try:
            return self.take(timeout)
        except WouldBlock:
            msg = f"no result came within {timeout} s"
            raise QueueWaitTimeout(msg) from None

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return fresh input tensors, all zero."""
        return self.model.allocate()

    def close_submitter(self) -> bool:
        """Take no more submissions; run those in the queue. Return True the first time."""
        was_open, self._submitting = self._submitting, False
        self.inputs.close()
        return was_open

    def close_receiver(self) -> bool:
        """Give no more results, and run nothing any more. Return True the first time."""
        was_open, self._receiving = self._receiving, False
        self.inputs.close(discard=True)
        self.outputs.close(discard=True)
        return was_open

    def join(self) -> None:
        """Wait until the workers have ended."""
        self._workers.join()

    def _close_if_workers_died(self) -> None:
        """Close the queues if there are no workers, as in a forked process."""
        if not self._workers.is_alive():
            self.inputs.close(discard=True)
            self.outputs.close()


class _WorkerPool:
    """Workers; the last one to leave closes both queues."""

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
        """Whether a worker is left; none is in a forked process."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Let the workers leave after the inferences that they are at."""
        self._inputs.close(discard=True)
        self._outputs.close(discard=True)

    def join(self) -> None:
        """Wait until the workers have ended."""
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """Run submissions until there are no more."""
        try:
            while True:
                self._outputs.put(self._outcome(*self._inputs.get()))
        except Closed:
            pass
        finally:  # whatever it dies of, nobody must wait for it
            self._leave()

    def _outcome(self, context: Any, inputs: Any) -> _Outcome:
        try:
            return _Outcome(context, self._run(inputs))
        except BaseException as error:  # the receiver waits for it, and must hear of it
            return _Outcome(context, [], error)

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._inputs.close(discard=True)
                self._outputs.close()
                _worker_pools.discard(self)


_worker_pools: set[_WorkerPool] = set()
"""Workers of this process that have not left."""


@atexit.register
def _stop_all() -> None:
    """Wait for the inferences of open queues: ended inside of one, the process would abort."""
    pools = [*_worker_pools]
    for pool in pools:
        pool.stop()
    for pool in pools:
        pool.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_worker_pools.clear)  # the workers stay with the parent
