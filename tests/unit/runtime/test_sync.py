from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from furiosa_models.errors import FuriosaModelsError, ShapeError
from furiosa_models.runtime.errors import FuriosaRuntimeError, SessionClosed
from furiosa_models.runtime.sync import ModelSource, Runner, create_runner
from furiosa_models.vision import EfficientNetLite0

X = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


def make_model(batch: int | str = 1) -> onnx.ModelProto:
    """`double = 2 * x`, `negative = -x`."""
    shape = [batch, 3, 2, 2]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("Neg", ["x"], ["negative"]),
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("double", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("negative", TensorProto.FLOAT, shape),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


@pytest.fixture
def runner() -> Runner:
    return create_runner(make_model(), device="cpu")


def test_every_form_of_a_model(tmp_path: Path) -> None:
    proto = make_model()
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    data = path.read_bytes()
    models: list[ModelSource] = [proto, data, proto, path, str(path)]
    for model in models:
        with create_runner(model, device="cpu") as runner:
            np.testing.assert_array_equal(runner.run(X)[0], 2 * X)


def test_a_model_of_the_zoo_is_a_model() -> None:
    model = EfficientNetLite0(weights="random")
    with create_runner(model) as runner:
        tensor = np.zeros((1, 3, 224, 224), np.uint8)
        assert runner.run(tensor)[0].shape == (1, 1000)


def test_the_ways_to_run_agree(runner: Runner) -> None:
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
def test_wrong_inputs(
    runner: Runner, inputs: object, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        runner.run(inputs)  # type: ignore[arg-type]


def test_wrong_names(runner: Runner) -> None:
    with pytest.raises(ValueError, match="no input 'y'; it has x"):
        runner.run_with(["double"], {"y": X})
    with pytest.raises(ValueError, match="no output 'triple'; it has double, negative"):
        runner.run_with(["triple"], {"x": X})


def test_a_float_input_where_uint8_is_due_says_what_to_do() -> None:
    model = EfficientNetLite0(weights="random")
    with create_runner(model) as runner, pytest.raises(TypeError, match="without scaling"):
        runner.run(np.zeros((1, 3, 224, 224), np.float32))


def test_a_closed_runner(runner: Runner) -> None:
    assert runner.close() is True
    assert runner.close() is False
    with pytest.raises(SessionClosed, match="closed"):
        runner.run(X)
    assert "closed" in repr(runner)


def test_batches() -> None:
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
def test_what_is_no_onnx(model: bytes | str) -> None:
    with pytest.raises(FuriosaRuntimeError, match="cannot load .*ENF needs an NPU"):
        create_runner(model, device="cpu")
    with pytest.raises(FuriosaModelsError):
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
