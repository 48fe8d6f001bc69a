from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from furiosa_models.errors import FuriosaModelsError, ShapeError
from furiosa_models.runtime.errors import FuriosaRuntimeError, SessionClosed
from furiosa_models.runtime.sync import ModelSource, Runner, create_runner
from furiosa_models.vision import EfficientNetLite0

from .tiny import X, make_model, mnist_like, table_lookup, three_inputs


@pytest.fixture
def runner() -> Runner:
    return create_runner(make_model(), device="cpu")


def test_every_kind_of_model_is_accepted(tmp_path: Path) -> None:
    proto = make_model()
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    data = path.read_bytes()
    models: list[ModelSource] = [proto, data, proto, path, str(path)]
    for model in models:
        with create_runner(model, device="cpu") as runner:
            np.testing.assert_array_equal(runner.run(X)[0], 2 * X)


def test_zoo_model_is_accepted() -> None:
    model = EfficientNetLite0(weights="random")
    with create_runner(model) as runner:
        tensor = np.zeros((1, 3, 224, 224), np.uint8)
        assert runner.run(tensor)[0].shape == (1, 1000)


def test_run_and_run_with_agree(runner: Runner) -> None:
    double, negative = runner.run(X)
    np.testing.assert_array_equal(runner.run([X])[0], double)
    np.testing.assert_array_equal(runner.run_with(["negative"], {"x": X})[0], negative)
    assert runner.backend == "onnxruntime"
    assert "onnxruntime" in repr(runner)


@pytest.mark.parametrize(
    ("inputs", "error", "complaint"),
    [
        (X.astype(np.float64), TypeError, "input 'x' expects float32, got float64"),
        (X.astype(np.uint8), TypeError, r"with_scaling=True"),
        ([X.tolist()], TypeError, "must be a numpy array, got list"),
        (X[0], ShapeError, r"expects shape \(1, 3, 2, 2\), got \(3, 2, 2\)"),
        (np.concatenate([X, X]), ValueError, r"got \(2, 3, 2, 2\)"),
        ([X, X], ValueError, "expected 1 inputs"),
        ([], ValueError, "expected 1 inputs"),
    ],
)
def test_invalid_inputs_are_rejected(
    runner: Runner, inputs: object, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        runner.run(inputs)  # type: ignore[arg-type]


def test_unknown_tensor_names_are_rejected(runner: Runner) -> None:
    with pytest.raises(ValueError, match="no input 'y'; it has x"):
        runner.run_with(["double"], {"y": X})
    with pytest.raises(ValueError, match="no output 'triple'; it has double, negative"):
        runner.run_with(["triple"], {"x": X})


def test_float_input_instead_of_uint8_gives_advice() -> None:
    model = EfficientNetLite0(weights="random")
    with create_runner(model) as runner, pytest.raises(TypeError, match="without scaling"):
        runner.run(np.zeros((1, 3, 224, 224), np.float32))


def test_closed_runner_cannot_be_used(runner: Runner) -> None:
    assert runner.close() is True
    assert runner.close() is False
    with pytest.raises(SessionClosed, match="closed"):
        runner.run(X)
    assert "closed" in repr(runner)


def test_batch_sizes() -> None:
    batch = np.concatenate([X, X + 1, X + 2])
    with create_runner(make_model("n"), device="cpu") as open_batch:
        assert open_batch.takes_batches
        np.testing.assert_array_equal(open_batch.run(batch)[0], 2 * batch)
    with create_runner(make_model(), device="cpu", batch_size=3) as three:
        assert not three.takes_batches
        np.testing.assert_array_equal(three.run(batch)[0], 2 * batch)
        with pytest.raises(ShapeError, match=r"expects shape \(3, 3, 2, 2\)"):
            three.run(X)


@pytest.mark.parametrize("model", [b"", b"ENF or something else", "no-such-file.onnx"])
def test_other_formats_are_rejected(model: bytes | str) -> None:
    with pytest.raises(FuriosaRuntimeError, match="cannot load .*ENF needs an NPU"):
        create_runner(model, device="cpu")
    with pytest.raises(FuriosaModelsError, match="not an ONNX model|cannot be read"):
        create_runner(model, device="cpu", batch_size=2)


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


def test_behavior_of_the_vendor_tests() -> None:
    with create_runner(mnist_like(), device="cpu") as runner:
        assert runner.model.summary() == (
            "Inputs:\n"
            '{0: TensorDesc(name="Input3", shape=(1, 1, 28, 28), dtype=FLOAT32, format=NCHW, '
            "size=3136, len=784)}\n"
            "Outputs:\n"
            '{0: TensorDesc(name="Plus214_Output_0", shape=(1, 10), dtype=FLOAT32, format=??, '
            "size=40, len=10)}"
        )
        assert runner.model.input_num == runner.model.output_num == 1
        image = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
        assert image.shape == runner.model.input(0).shape
        assert image.dtype == runner.model.input(0).dtype.numpy
        (alone,), (listed,) = runner.run(image), runner.run([image])
        (named,) = runner.run_with(["Plus214_Output_0"], {"Input3": image})
        np.testing.assert_array_equal(alone, listed)
        np.testing.assert_array_equal(alone, named)
        with pytest.raises(TypeError, match="expects float32, got float16"):
            runner.run(np.zeros((1, 28, 28, 1), np.float16))
        with pytest.raises(ValueError, match="shape"):
            runner.run(np.zeros((2, 28, 28, 2), np.float32))
        with pytest.raises(ValueError, match="expected 1 inputs"):
            runner.run([image, image])
        with pytest.raises(TypeError, match="output_names must be a list of names"):
            runner.run_with(None, {"Input3": image})  # type: ignore[arg-type]
    with create_runner(mnist_like(), device="cpu", batch_size=1) as runner:
        assert runner.model.input(0).shape == (1, 1, 28, 28)
    with create_runner(mnist_like(), device="cpu", batch_size=4) as runner:
        assert runner.model.input(0).shape == (4, 1, 28, 28)


def test_outputs_have_the_requested_order() -> None:
    inputs = {name: np.full((2, 2), i, np.float32) for i, name in enumerate("abc", 1)}
    with create_runner(three_inputs(), device="cpu") as runner:
        third, first = runner.run_with(["sum_3", "sum_1"], dict(reversed([*inputs.items()])))
        assert runner.run_with([], inputs) == []
        with pytest.raises(ValueError, match="expected 3 inputs"):
            runner.run_with(["sum_1"], {"a": inputs["a"]})
        with pytest.raises(TypeError, match="list of names"):
            runner.run_with("sum_1", inputs)
        with pytest.raises(TypeError, match="map names"):
            runner.run_with(["sum_1"], [inputs["a"]])  # type: ignore[arg-type]
    assert (first[0, 0], third[0, 0]) == (6.0, 18.0)


def test_allocated_inputs_are_accepted(runner: Runner) -> None:
    (tensor,) = runner.allocate()
    assert tensor.shape == (1, 3, 2, 2)
    assert not runner.run(tensor)[0].any()


def test_other_kinds_of_inputs() -> None:
    with create_runner(table_lookup(), device="cpu") as runner:
        assert runner.run(np.array([2]))[0][0] == 3.0
        assert runner.run(iter([np.array([1])]))[0][0] == 2.0  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a tensor or a list"):
            runner.run(3)  # type: ignore[arg-type]
        with pytest.raises(FuriosaRuntimeError, match="ONNX Runtime failed"):
            runner.run(np.array([7]))


def test_inputs_are_not_copied(runner: Runner) -> None:
    (checked,) = runner.model.check([X])
    assert checked is X


@pytest.mark.parametrize("use", ["run", "run_with", "allocate", "model"])
def test_use_after_close(runner: Runner, use: str) -> None:
    runner.close()
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: runner.run(X),
        "run_with": lambda: runner.run_with(["double"], {"x": X}),
        "allocate": runner.allocate,
        "model": lambda: runner.model,
    }
    with pytest.raises(SessionClosed):
        calls[use]()
