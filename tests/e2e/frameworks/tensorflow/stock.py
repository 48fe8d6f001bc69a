"""What TensorFlow, TensorFlow Lite and ONNX Runtime themselves make of a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

from .networks import Array


def difference(found: Any, expected: Any) -> float:
    """Return the largest absolute difference between arrays, or lists of them."""
    if isinstance(found, list):
        assert len(found) == len(expected)
        return max(difference(a, b) for a, b in zip(found, expected, strict=True))
    assert found.shape == expected.shape
    return float(np.abs(np.asarray(found, np.float64) - expected).max())


def mean_difference(found: list[Array], expected: list[Array]) -> float:
    """Return the mean absolute difference between lists of arrays.

    It says how well a quantized model agrees with another one: where values are halfway between two
    integers, the last bit of a sum decides, and a few elements differ by the distance of integers.
    """
    assert [array.shape for array in found] == [array.shape for array in expected]
    pairs = zip(found, expected, strict=True)
    return float(np.mean([np.abs(np.asarray(a, np.float64) - b).mean() for a, b in pairs]))


def run_frozen(path: Path, inputs: Mapping[str, Array], output: str) -> Array:
    """Return an output of a frozen pb by `import_graph_def` and a session."""
    v1 = tf.compat.v1
    graph_def = v1.GraphDef()
    graph_def.ParseFromString(path.read_bytes())
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.import_graph_def(graph_def, name="")
        feed = {f"{name}:0": array for name, array in inputs.items()}
        return np.asarray(session.run(f"{output}:0", feed))


def run_saved_model(folder: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs of a SavedModel by `tf.saved_model.load`."""
    loaded = tf.saved_model.load(str(folder))
    feed = {name: tf.constant(array) for name, array in inputs.items()}
    outputs = loaded.signatures["serving_default"](**feed)
    return {name: output.numpy() for name, output in outputs.items()}


def run_onnx(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of ONNX Runtime, which quantizes weights itself if it may optimize."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [np.asarray(output) for output in session.run(None, dict(inputs))]


def to_tflite(path: Path, inputs: tuple[str, str] | None = None) -> bytes:
    """Return the int8 model that the stock converter makes of a saved model.

    Args:
        path: A SavedModel, or a frozen pb.
        inputs: Names of the input and the output of a frozen pb.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if inputs is None:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
        else:
            converter = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(
                str(path), [inputs[0]], [inputs[1]]
            )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        data: bytes = converter.convert()
    return data


def run_tflite(data: bytes, array: Array) -> tuple[Array, set[str]]:
    """Return the output of a TensorFlow Lite model, and the types of its operations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_content=data)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, array.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, array)
    interpreter.invoke()
    operations = {each["op_name"] for each in interpreter._get_ops_details()}
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), operations
