"""Sessions from before 0.10: their errors and their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from furiosa_models.runtime import DataType, errors, session, sync
from tests.unit.runtime.tiny import X, make_model

pytestmark = pytest.mark.filterwarnings("ignore:session:FutureWarning")


@pytest.fixture
def opened() -> Iterator[session.Session]:
    with session.create(make_model(), device="cpu") as made:
        yield made


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s: s.run(X.astype(np.float16)), errors.InvalidInput),
        (lambda s: s.run(X.astype(np.uint8)), errors.InvalidInput),
        (lambda s: s.run(X[:, :1]), errors.InvalidInput),
        (lambda s: s.run([X, X]), errors.InvalidInput),
        (lambda s: s.run(None), errors.InvalidInput),
        (lambda s: s.run_with([s.output(0).name], {"x": X.astype(np.int8)}), errors.InvalidInput),
        (lambda s: s.run_with(["z"], {"x": X}), errors.TensorNameNotFound),
        (lambda s: s.run_with([s.output(0).name], {"z": X}), errors.TensorNameNotFound),
        (lambda s: s.run_with(None, {"x": X}), errors.InvalidInput),
    ],
)
def test_session_rejects_invalid_inputs(
    opened: session.Session, call: Callable[[session.Session], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(opened)


def test_unknown_tensor_name_is_an_invalid_input() -> None:
    assert issubclass(errors.TensorNameNotFound, errors.InvalidInput)
    assert issubclass(errors.InvalidDtype, TypeError)


@pytest.mark.parametrize("name", ["run", "inputs", "input_num", "outputs", "summary", "model"])
def test_closed_session_raises_session_closed(opened: session.Session, name: str) -> None:
    opened.close()
    with pytest.raises(errors.SessionClosed):
        opened.run(None) if name == "run" else getattr(opened, name)


def test_closed_ends_of_a_queue_raise_session_closed() -> None:
    submitter, queue = session.create_async(make_model(), device="cpu")
    submitter.close()
    for use in (lambda: submitter.submit(None), submitter.allocate_inputs):
        with pytest.raises(errors.SessionClosed):
            use()
    queue.close()
    with pytest.raises(errors.SessionClosed):
        queue.recv()


@pytest.mark.parametrize("config", [{"remove_lower": 1}, {"unknown": True}, [("a", 1)]])
def test_wrong_compiler_options_are_rejected(config: object) -> None:
    with pytest.raises(errors.InvalidCompilerConfig):
        session.create(make_model(), device="cpu", compiler_config=config)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidCompilerConfig):
        session.create(make_model(), device="cpu", compile_config=config)  # type: ignore[arg-type]


def test_options_of_0_9_are_accepted() -> None:
    session.create(make_model(), compiler_config={"tabulate_dequantize": True}).close()


def test_new_runtime_still_raises_type_error() -> None:
    with sync.create_runner(make_model(), device="cpu") as runner:
        with pytest.raises(TypeError, match="expects float32, got float16"):
            runner.run(X.astype(np.float16))
        with pytest.raises(ValueError, match="shape"):
            runner.run(X[:, :1])


def test_tensors_can_be_filled_and_compared(opened: session.Session) -> None:
    first, second = opened.allocate_inputs(), opened.allocate_inputs()
    first[0] = X
    second[:] = [X.copy()]
    assert first[0] == second[0]
    assert first == second
    second[0].copy_from(X + 1)
    assert first[0] != second[0]
    assert np.array_equal(first[0].numpy(), X)
    assert type(first[0].numpy()) is np.ndarray
    assert isinstance(first[0:1], session.TensorArray)
    assert len(first[:]) == len(first) == 1
    assert not first.is_empty()
    assert np.array_equal(opened.run(first)[0], opened.run(X)[0])
    with pytest.raises(errors.InvalidInput, match="shape"):
        first[0] = X[:, :1]
    with pytest.raises(errors.InvalidInput, match="expected the dtype float32"):
        first[0] = X.astype(np.float64)
    with pytest.raises(IndexError):
        first[1] = X


def test_arrays_are_compared_by_element(opened: session.Session) -> None:
    tensor = opened.run(X)[0]
    assert (tensor == np.asarray(tensor)).all()
    assert not (tensor != np.asarray(tensor)).any()
    assert tensor.numpy_dtype == tensor.dtype


def test_dtypes_are_comparable_with_those_of_numpy(opened: session.Session) -> None:
    described = opened.output(0).dtype
    assert described == opened.run(X)[0].dtype
    assert opened.run(X)[0].dtype == described
    assert described == DataType.FLOAT32 != np.dtype("int8")
    assert np.dtype("float32") != DataType.BFLOAT16
    assert {DataType.UINT8: 1}[DataType(np.uint8)] == 1
