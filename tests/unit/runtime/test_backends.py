"""The contract of runners and queues, tested on every CPU backend."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from furiosa_models import runtime
from furiosa_models.errors import ShapeError
from furiosa_models.runtime.errors import (
    InvalidInput,
    SessionClosed,
    TensorNameNotFound,
)
from furiosa_models.runtime.sync import Runner, Runtime, create_queue, create_runner

from . import tiny, tiny_tflite
from .tiny import X

BATCH = np.concatenate([X, X + 1, X + 2])


def onnx_model(batch: int | str = 1) -> bytes:
    data: bytes = tiny.make_model(batch).SerializeToString()
    return data


@dataclass(frozen=True)
class Backend:
    """A backend, its device string, and the tiny model in its format."""

    name: str
    device: str
    model: Callable[..., bytes]
    rounds: int

    def runner(self, batch: int | str = 1, batch_size: int | None = None) -> Runner:
        return create_runner(self.model(batch), device=self.device, batch_size=batch_size)


BACKENDS = [
    Backend("onnxruntime", "cpu", onnx_model, 1000),
    Backend("litert", "cpu", tiny_tflite.make_model, 1000),
    Backend("openvino", "openvino", onnx_model, 100),
]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param
    return found


@pytest.fixture
def runner(backend: Backend) -> Runner:
    return backend.runner()


def test_runner_has_the_backend_name_and_the_model(backend: Backend, runner: Runner) -> None:
    assert runner.backend == backend.name
    assert backend.name in repr(runner)
    assert [desc.name for desc in runner.model.inputs()] == ["x"]
    assert [desc.name for desc in runner.model.outputs()] == ["double", "negative"]
    assert runner.model.input(0).shape == runner.model.output(1).shape == (1, 3, 2, 2)
    assert runner.model.input(0).numpy_dtype == np.float32
    assert not runner.takes_batches


def test_run_and_run_with_agree(runner: Runner) -> None:
    double, negative = runner.run(X)
    np.testing.assert_array_equal(double, 2 * X)
    np.testing.assert_array_equal(negative, -X)
    np.testing.assert_array_equal(runner.run([X])[0], double)
    swapped = runner.run_with(["negative", "double"], {"x": X})
    np.testing.assert_array_equal(swapped[0], negative)
    np.testing.assert_array_equal(swapped[1], double)
    assert runner.run_with([], {"x": X}) == []
    assert not runner.run(runner.allocate())[0].any()


def test_outputs_belong_to_the_caller(runner: Runner) -> None:
    kept = runner.run(X)
    runner.run(X + 1)
    np.testing.assert_array_equal(kept[0], 2 * X)
    kept[0][:] = 0
    np.testing.assert_array_equal(runner.run(X)[0], 2 * X)


def test_inputs_of_any_memory_layout(runner: Runner) -> None:
    strided = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not strided.flags.c_contiguous
    locked = X.copy()
    locked.flags.writeable = False
    for tensor in (strided, locked):
        np.testing.assert_array_equal(runner.run(tensor)[0], 2 * X)


@pytest.mark.parametrize(
    ("inputs", "error", "complaint"),
    [
        (X.astype(np.float64), TypeError, "input 'x' expects float32, got float64"),
        ([X.tolist()], TypeError, "must be a numpy array, got list"),
        (X[0], InvalidInput, r"expects shape \(1, 3, 2, 2\), got \(3, 2, 2\)"),
        (BATCH, InvalidInput, r"got \(3, 3, 2, 2\)"),
        ([X, X], InvalidInput, "expected 1 inputs"),
    ],
)
def test_invalid_inputs_are_rejected(
    runner: Runner, inputs: object, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        runner.run(inputs)  # type: ignore[arg-type]


def test_unknown_tensor_names_are_rejected(runner: Runner) -> None:
    with pytest.raises(TensorNameNotFound, match="no input 'y'; it has x"):
        runner.run_with(["double"], {"y": X})
    with pytest.raises(TensorNameNotFound, match="no output 'triple'; it has double, negative"):
        runner.run_with(["triple"], {"x": X})


def test_closed_runner_cannot_be_used(runner: Runner) -> None:
    assert runner.close() is True
    assert runner.close() is False
    for use in (partial(runner.run, X), runner.allocate, lambda: runner.model):
        with pytest.raises(SessionClosed):
            use()


def test_batch_sizes(backend: Backend) -> None:
    with backend.runner("n") as open_batch:
        assert open_batch.takes_batches
        assert open_batch.model.input(0).shape == (1, 3, 2, 2)
        for tensor in (BATCH, X, BATCH[:2]):
            np.testing.assert_array_equal(open_batch.run(tensor)[0], 2 * tensor)
    for batch in (1, "n"):
        with backend.runner(batch, batch_size=3) as three:
            assert not three.takes_batches
            assert three.model.input(0).shape == three.model.output(0).shape == (3, 3, 2, 2)
            np.testing.assert_array_equal(three.run(BATCH)[1], -BATCH)
            with pytest.raises(ShapeError, match=r"expects shape \(3, 3, 2, 2\)"):
                three.run(X)


def test_model_files_are_loaded(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "program"  # the suffix does not matter
    path.write_bytes(backend.model())
    for model in (path, str(path)):
        with create_runner(model, device=backend.device) as runner:
            assert runner.backend == backend.name
            np.testing.assert_array_equal(runner.run(X)[0], 2 * X)


def test_many_threads_share_a_runner(runner: Runner) -> None:
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(runner.run(X + i)[0], 2 * (X + i)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_queue_with_many_workers(backend: Backend) -> None:
    queue = create_queue(backend.model(), device=backend.device, worker_num=3)
    with queue as (submitter, receiver):
        for i in range(60):
            submitter.submit(X + i, context=i)
        submitter.close()
        results = dict(receiver)
    assert sorted(results) == list(range(60))
    for i, (double, negative) in results.items():
        np.testing.assert_array_equal(double, 2 * (X + i))
        np.testing.assert_array_equal(negative, -(X + i))


def test_async_runner_and_queue(backend: Backend) -> None:
    async def main() -> None:
        async with runtime.create_runner(backend.model(), device=backend.device) as runner:
            assert runner.backend == backend.name
            results = await asyncio.gather(*(runner.run(X + i) for i in range(30)))
        for i, (double, _) in enumerate(results):
            np.testing.assert_array_equal(double, 2 * (X + i))
        async with runtime.create_queue(backend.model(), device=backend.device) as (sub, rec):
            await sub.submit(X, "context")
            assert (await rec.recv())[0] == "context"

    asyncio.run(main())


def test_runtime_creates_runners_and_queues(backend: Backend) -> None:
    with Runtime(backend.device) as shared:
        assert shared.create_runner(backend.model()).backend == backend.name
        submitter, receiver = shared.create_queue(backend.model())
        submitter.submit(X)
        np.testing.assert_array_equal(receiver.recv()[1][0], 2 * X)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_threads_files_and_memory_do_not_leak(backend: Backend) -> None:
    data = backend.model()

    def rounds(count: int) -> tuple[int, int]:
        for _ in range(count):
            with create_runner(data, device=backend.device, worker_num=2) as runner:
                runner.run(X)
            with create_queue(data, device=backend.device, worker_num=2) as (submitter, receiver):
                submitter.submit(X)
                receiver.recv()
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    threads, files = rounds(10)
    gc.collect()  # garbage of other tests
    held = resident_mib()
    more_threads, more_files = rounds(backend.rounds)
    assert more_threads <= threads
    assert more_files <= files
    assert len(os.listdir("/proc/self/task")) < 50  # noqa: PTH208
    assert resident_mib() - held < 40


def resident_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
