"""A bounded queue that can be closed, waited for by threads and by event loops."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Generic, TypeVar

__all__ = ["Channel", "Closed", "NotNow"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Closed(Exception):
    """The channel is closed, and to a reader also empty."""


class NotNow(Exception):
    """The channel is full, or empty, and the time to wait is over."""


class Channel(Generic[Item]):
    """A first-in-first-out queue of bounded size.

    Args:
        capacity: Most items it holds.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()

    def put(self, item: Item, timeout: float | None = None) -> None:
        """Append an item, waiting for room.

        Args:
            item: The item.
            timeout: Seconds to wait; for ever by default.

        Raises:
            Closed: The channel is closed, or was while this waited.
            NotNow: There was no room in time.
        """

        def attempt() -> None:
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                raise NotNow
            self._items.append(item)

        self._wait(attempt, timeout)

    def get(self, timeout: float | None = None) -> Item:
        """Take the oldest item, waiting for one.

        Raises:
            Closed: The channel is closed and empty, or came to be while this waited.
            NotNow: None came in time.
        """

        def attempt() -> Item:
            if self._items:
                return self._items.popleft()
            raise Closed if self._closed else NotNow

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
                except NotNow:
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
