from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from furiosa_models.errors import ExtraRequired, ShapeError
from furiosa_models.runtime.errors import FuriosaRuntimeError
from furiosa_models.runtime.machine import available_cpus
from furiosa_models.runtime.sync import create_queue, create_runner

from . import tiny_tflite
from .tiny import X

SSD = "weights/ssd_mobilenet_v1_075_coco_quant.tflite"


def test_missing_extra_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    for create in (create_runner, create_queue):
        with pytest.raises(ExtraRequired, match=r"pip install .*furiosa-model-zoo\[tflite\]"):
            create(tiny_tflite.make_model(), device="cpu")


def test_chosen_backend_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with create_runner(tiny_tflite.make_model(), device="cpu") as runner:
        assert "TensorFlow Lite" in runner.choice.reason
    assert f"running on litert: {runner.choice.reason}" in caplog.messages


def test_number_of_threads_and_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert import interpreter

    made: list[int] = []

    class Counted(interpreter.Interpreter):  # type: ignore[misc]
        def __init__(self, *, num_threads: int, model_content: bytes) -> None:
            made.append(num_threads)
            super().__init__(num_threads=num_threads, model_content=model_content)

    monkeypatch.setattr(interpreter, "Interpreter", Counted)
    model = tiny_tflite.make_model()
    with create_runner(model, device="cpu", worker_num=3) as runner:
        runner.run(X)
        runner.run(X)
    assert made == [3]
    made.clear()
    with create_queue(model, device="cpu", worker_num=2) as (submitter, receiver):
        for _ in range(50):
            submitter.submit(X)
        submitter.close()
        assert len(list(receiver)) == 50
    assert len(made) <= 2
    assert set(made) == {max(1, available_cpus() // 2)}


def test_other_requested_backend_rejects_tflite() -> None:
    with pytest.raises(FuriosaRuntimeError, match="openvino takes ONNX.*device='cpu' runs it"):
        create_runner(tiny_tflite.make_model(), device="openvino")


def test_quantized_tensors_stay_quantized() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 2, 2), np.uint8)
    with create_runner(tiny_tflite.quantized(), device="cpu") as runner:
        assert runner.model.input(0).numpy_dtype == runner.model.output(0).numpy_dtype == np.uint8
        np.testing.assert_array_equal(runner.run(image)[0], image)
        with pytest.raises(TypeError, match="expects uint8, got float32"):
            runner.run(X)


def test_unsupported_batch_size_is_rejected() -> None:
    with create_runner(tiny_tflite.fixed_reshape(), device="cpu", batch_size=1) as runner:
        assert runner.run(X)[0].shape == (1, 12)
    with pytest.raises(ShapeError, match="does not support batch size 2"):
        create_runner(tiny_tflite.fixed_reshape(), device="cpu", batch_size=2)


def test_output_of_one_row_for_any_batch_size() -> None:
    tensors = [
        tiny_tflite.Tensor("x"),
        tiny_tflite.Tensor("shape", (1,), tiny_tflite.INT32, constant=(1,)),
        tiny_tflite.Tensor("double"),
        tiny_tflite.Tensor("constant", (1,), tiny_tflite.INT32),
    ]
    operators = [
        tiny_tflite.Operator(tiny_tflite.ADD, [0, 0], [2]),
        tiny_tflite.Operator(tiny_tflite.ADD, [1, 1], [3]),
    ]
    model = tiny_tflite.write(tensors, operators, [0], [2, 3])
    with pytest.raises(ShapeError, match="output 'constant' always has 1 rows"):
        create_runner(model, device="cpu", batch_size=2)


def test_unsupported_element_types_are_rejected() -> None:
    with pytest.raises(
        FuriosaRuntimeError, match="'x' has the element type .*which runners do not support"
    ):
        create_runner(tiny_tflite.of_strings(), device="cpu")


def test_missing_file_is_an_error() -> None:
    with pytest.raises(FuriosaRuntimeError, match=r"LiteRT cannot load 'nowhere\.tflite'"):
        create_runner("nowhere.tflite", device="cpu")


def test_runner_is_usable_after_a_failed_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert.interpreter import Interpreter

    def fail(_: object) -> None:
        msg = "out of memory"
        raise RuntimeError(msg)

    with create_runner(tiny_tflite.make_model(), device="cpu") as runner:
        with monkeypatch.context() as context:
            context.setattr(Interpreter, "invoke", fail)
            with pytest.raises(FuriosaRuntimeError, match="LiteRT failed: out of memory"):
                runner.run(X)
        np.testing.assert_array_equal(runner.run(X)[0], 2 * X)


@pytest.mark.accuracy
def test_published_detector_with_built_in_postprocessing(data: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), np.uint8)
    with create_runner(data / SSD, device="cpu") as runner:
        assert runner.backend == "litert"
        assert runner.model.input(0).shape == (1, 300, 300, 3)
        assert runner.model.input(0).numpy_dtype == np.uint8
        names = [str(desc.name) for desc in runner.model.outputs()]
        assert names[0] == "TFLite_Detection_PostProcess"
        boxes, classes, scores, count = runner.run(image)
        assert boxes.shape == (1, 10, 4)
        assert classes.shape == scores.shape == (1, 10)
        assert count.tolist() == [10]
        assert (np.diff(scores[0]) <= 0).all()
        (again,) = runner.run_with([names[2]], {str(runner.model.input(0).name): image})
        np.testing.assert_array_equal(again, scores)
    with pytest.raises(ShapeError, match="batch size 2"):
        create_runner(data / SSD, device="cpu", batch_size=2)
