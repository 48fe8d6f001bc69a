"""Ctrl-C during training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from furiosa_models.training.interrupts import Interrupts

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _usual_handler() -> Iterator[None]:
    """Interrupt as usual: a job in the background of a shell ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_is_noted_and_the_second_one_interrupts() -> None:
    with Interrupts() as interrupts:
        pending = [interrupts.is_pending]
        signal.raise_signal(signal.SIGINT)
        pending.append(interrupts.is_pending)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert pending == [False, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_is_restored() -> None:
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_user_stays() -> None:
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert not interrupts.is_pending
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == [signal.SIGINT]


def test_another_thread_changes_nothing() -> None:
    handlers = []

    def work() -> None:
        with Interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
