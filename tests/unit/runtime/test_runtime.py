from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from furiosa_models import runtime
from furiosa_models.runtime import session, sync
from furiosa_models.runtime.errors import (
    FuriosaRuntimeError,
    FuriosaRuntimeWarning,
    QueueWaitTimeout,
    SessionClosed,
    SessionTerminated,
)

from .tiny import X, make_model


def test_runtime_closes_its_runners_and_queues() -> None:
    with sync.Runtime("cpu") as closing:
        runner = closing.create_runner(make_model())
        submitter, receiver = closing.create_queue(make_model())
        submitter.submit(X, "context")
        assert receiver.recv()[0] == "context"
    assert closing.close() is False
    for use in (
        lambda: runner.run(X),
        lambda: submitter.submit(X),
        receiver.recv,
        lambda: closing.create_runner(make_model()),
        lambda: closing.create_queue(make_model()),
    ):
        with pytest.raises(SessionClosed):
            use()


def test_open_runtime_keeps_no_deleted_runners() -> None:
    with sync.Runtime() as forgetting:
        for _ in range(10):
            forgetting.create_runner(make_model())
        assert len(forgetting._created) <= 1


@pytest.mark.parametrize("name", ["SessionClosed", "SessionTerminated", "DeviceBusy"])
def test_errors_have_a_common_base_class(name: str) -> None:
    assert issubclass(getattr(runtime, name), FuriosaRuntimeError)


def test_errors_derive_from_builtin_exceptions() -> None:
    assert issubclass(runtime.InvalidInput, (FuriosaRuntimeError, ValueError))
    assert issubclass(runtime.InvalidInput, ValueError)
    assert issubclass(runtime.TensorNameNotFound, ValueError)
    assert issubclass(runtime.QueueWaitTimeout, TimeoutError)
    assert issubclass(runtime.QueueWaitTimeout, FuriosaRuntimeError)
    assert issubclass(FuriosaRuntimeWarning, RuntimeWarning)


def test_versions() -> None:
    assert runtime.is_legacy is False
    assert runtime.__version__ in runtime.full_version()
    assert "onnxruntime 1" in runtime.__full_version__
    assert not hasattr(runtime, "__no_such_version__")


def test_import_does_not_import_onnx_runtime() -> None:
    code = (
        "import sys, furiosa_models.runtime, furiosa_models.runtime.sync;"
        "print({'onnxruntime', 'onnx', 'requests', 'furiosa'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_legacy_sessions() -> None:
    with pytest.warns(FutureWarning, match=r"sync\.create_runner"):
        old = session.create(make_model(), device="cpu", worker_num=1, batch_size=2)
    batch = np.concatenate([X, X])
    with old:
        assert old.input(0).shape == old.inputs()[0].shape == (2, 3, 2, 2)
        assert old.output_num == 2
        assert old.summary() == old.model.summary()
        outputs = old.run(batch)
        np.testing.assert_array_equal(outputs[0].numpy(), 2 * batch)
        np.testing.assert_array_equal(outputs.numpy()[1], -batch)
        np.testing.assert_array_equal(outputs.view()[0], 2 * batch)
        assert not outputs.is_empty()
        assert type(outputs[0].numpy()) is np.ndarray
        (negative,) = old.run_with(["negative"], {"x": batch})
        np.testing.assert_array_equal(negative, -batch)
        assert not hasattr(old, "no_such_thing")
    with pytest.raises(SessionClosed):
        old.inputs()


def test_legacy_queues() -> None:
    with pytest.warns(FutureWarning, match=r"sync\.create_queue"):
        submitter, queue = session.create_async(make_model(), device="cpu")
    with pytest.raises(QueueWaitTimeout, match=r"0\.005 s"):
        queue.recv(timeout=5)
    assert submitter.input(0).dtype.numpy_dtype is np.float32
    changing = X.copy()
    submitter.submit([changing], 7)
    changing[:] = 0
    context, outputs = queue.recv()
    assert context == 7
    np.testing.assert_array_equal(outputs[0], 2 * X)
    submitter.submit(X, 8)
    submitter.close()
    assert [context for context, _ in queue] == [8]
    with pytest.raises(SessionTerminated):
        queue.recv(timeout=100)
    assert queue.close()
