from __future__ import annotations

import gc
import threading
import time
from typing import Any

import numpy as np
import pytest

from furiosa_models.runtime.errors import (
    FuriosaRuntimeError,
    InvalidInput,
    QueueWaitTimeout,
    SessionClosed,
    SessionTerminated,
)
from furiosa_models.runtime.queue import Channel, Closed, Pipeline, WouldBlock
from furiosa_models.runtime.sync import QueuePair, create_queue
from furiosa_models.runtime.tensor import DataType, Model, TensorDesc

from .tiny import X, make_model, table_lookup


def tiny_queue(**options: Any) -> QueuePair:
    return create_queue(make_model(), device="cpu", **options)


def test_every_submission_is_received_once_with_its_context() -> None:
    submitter, receiver = tiny_queue(input_queue_size=50, output_queue_size=50)
    assert submitter.model.summary() == receiver.model.summary()
    for i in range(50):
        submitter.submit(X + i, context=i)
    received = dict(next(receiver) for _ in range(50))
    assert sorted(received) == list(range(50))
    for i, (double, _) in received.items():
        np.testing.assert_array_equal(double, 2 * (X + i))
    assert submitter.close()
    assert receiver.close()


def test_iteration_ends_after_the_last_result() -> None:
    submitter, receiver = tiny_queue(worker_num=1)
    with submitter:
        for i in range(5):
            submitter.submit([X], i)
    assert [context for context, _ in receiver] == [0, 1, 2, 3, 4]
    with pytest.raises(SessionTerminated):
        receiver.recv()


def test_full_queue_blocks_the_submitter() -> None:
    submitter, receiver = tiny_queue(worker_num=1, input_queue_size=1, output_queue_size=1)

    def submit_all() -> None:
        with submitter:
            for i in range(20):
                submitter.submit(X, i)

    thread = threading.Thread(target=submit_all)
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    assert [context for context, _ in receiver] == list(range(20))
    thread.join()


def test_recv_times_out() -> None:
    with tiny_queue() as (_, receiver):
        for timeout in (0, 0.01):
            with pytest.raises(QueueWaitTimeout, match=f"within {timeout} s"):
                receiver.recv(timeout=timeout)
            with pytest.raises(TimeoutError):
                receiver.recv(timeout)


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan"), float("inf")])
def test_invalid_timeout_is_rejected(timeout: float) -> None:
    with (
        tiny_queue() as (_, receiver),
        pytest.raises(ValueError, match="finite, non-negative number of seconds"),
    ):
        receiver.recv(timeout)


def test_invalid_inputs_are_rejected_on_submission() -> None:
    with tiny_queue() as (submitter, receiver):
        with pytest.raises(TypeError, match="expects float32, got uint8"):
            submitter.submit(X.astype(np.uint8))
        with pytest.raises(InvalidInput):
            submitter.submit([X, X])
        submitter.submit(submitter.allocate(), "after that")
        assert receiver.recv()[0] == "after that"


def test_failed_inference_raises_only_in_the_receiver() -> None:
    with create_queue(table_lookup(), device="cpu", worker_num=1) as (submitter, receiver):
        for i in (0, 7, 2):
            submitter.submit(np.array([i]), context=i)
        submitter.close()
        assert receiver.recv()[0] == 0
        with pytest.raises(FuriosaRuntimeError, match="context 7 failed"):
            next(receiver)
        assert [context for context, _ in receiver] == [2]


class _DyingSession:
    """A session whose inferences end the thread that runs them."""

    model = Model([TensorDesc("x", X.shape, DataType.FLOAT32)], [])

    def run(self, _inputs: object) -> list[Any]:
        raise SystemExit


def test_dead_worker_does_not_block_a_receiver() -> None:
    pipeline = Pipeline(_DyingSession(), 2, 4, 4)
    for i in range(3):
        pipeline.submit(X, i)
    for _ in range(3):
        with pytest.raises(FuriosaRuntimeError, match="failed"):
            pipeline.recv(timeout=5)
    pipeline.close_receiver()


def test_missing_workers_do_not_block_a_receiver() -> None:
    pipeline = Pipeline(_DyingSession(), 2, 4, 4)
    pipeline.close_submitter()
    pipeline.join()
    with pytest.raises(SessionTerminated):
        pipeline.take()
    pipeline = Pipeline(_DyingSession(), 1, 4, 4)
    living, pipeline._workers._threads = (
        pipeline._workers._threads,
        [threading.Thread()],
    )  # as after a fork
    with pytest.raises(SessionTerminated, match="workers died"):
        pipeline.recv()
    with pytest.raises(SessionTerminated, match="workers died"):
        pipeline.put([X], None)
    living[0].join()


def test_closed_queue_cannot_be_used() -> None:
    submitter, receiver = tiny_queue()
    assert submitter.close() is True
    assert submitter.close() is False
    for use in (lambda: submitter.submit(X), submitter.allocate, lambda: submitter.model):
        with pytest.raises(SessionClosed, match="submitter is closed"):
            use()
    with pytest.raises(SessionTerminated, match="submitter was closed"):
        receiver.recv()
    assert receiver.close() is True
    assert receiver.close() is False
    for timeout in (None, 0, 1):
        with pytest.raises(SessionClosed, match="receiver is closed"):
            receiver.recv(timeout)
    with pytest.raises(SessionClosed):
        receiver.model.inputs()
    assert list(receiver) == []


def test_closing_the_receiver_ends_submissions() -> None:
    submitter, receiver = tiny_queue(worker_num=1, input_queue_size=1, output_queue_size=1)
    errors: list[Exception] = []

    def submit_for_ever() -> None:
        try:
            while True:
                submitter.submit(X)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=submit_for_ever)
    thread.start()
    time.sleep(0.02)
    receiver.close()
    thread.join(5)
    assert isinstance(errors[0], SessionTerminated)


def test_closing_the_receiver_wakes_a_thread_in_recv() -> None:
    _submitter, receiver = tiny_queue()
    errors: list[Exception] = []

    def receive() -> None:
        try:
            receiver.recv()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    time.sleep(0.02)
    receiver.close()
    thread.join(5)
    assert isinstance(errors[0], SessionClosed)


def test_workers_of_deleted_queues_end() -> None:
    before = threading.active_count()
    for _ in range(20):
        submitter, receiver = tiny_queue(output_queue_size=1)
        for _ in range(5):
            submitter.submit(X)
    del submitter, receiver
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_queue_with_many_threads_at_both_ends() -> None:
    submitter, receiver = tiny_queue(worker_num=3, input_queue_size=2, output_queue_size=2)
    received: list[int] = []

    def submit(first: int) -> None:
        for i in range(first, first + 25):
            submitter.submit(X, i)

    def receive() -> None:
        received.extend(context for context, _ in receiver)

    submitting = [threading.Thread(target=submit, args=(25 * i,)) for i in range(4)]
    receiving = [threading.Thread(target=receive) for _ in range(3)]
    for thread in submitting + receiving:
        thread.start()
    for thread in submitting:
        thread.join()
    submitter.close()
    for thread in receiving:
        thread.join()
    assert sorted(received) == list(range(100))


def test_channel_blocks_and_closes() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    with pytest.raises(WouldBlock):
        channel.put(2, timeout=0)
    channel.close()
    with pytest.raises(Closed):
        channel.put(3)
    assert channel.get() == 1
    with pytest.raises(Closed):
        channel.get()
