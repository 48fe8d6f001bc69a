"""Models of this package, and their quantization."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import onnx

from furiosa_models.frameworks import keras, tensorflow
from furiosa_models.frameworks.tensorflow.model import TensorFlowModel
from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize

INTEGER_OPERATIONS = {
    *("ADD", "CONV_2D", "DELEGATE", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "MEAN", "QUANTIZE"),
    "RESHAPE",
}
"""Operations of the small network in TensorFlow Lite, if it computes with integers."""


def recognize(source: Any, **options: Any) -> TensorFlowModel:
    """Return the model of an object or path of Keras or TensorFlow."""
    found = keras.recognize(source, **options) or tensorflow.recognize(source, **options)
    assert found is not None
    return found


def quantized_program(
    program: onnx.ModelProto, *inputs: Any, exclude: Collection[str] = (), float_heads: bool = True
) -> onnx.ModelProto:
    """Return a program quantized on one batch of inputs."""
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[*inputs]])
    data = quantize(
        program,
        calibrator.compute_range(),
        channel_means=calibrator.compute_channel_means(),
        exclude=exclude,
        float_heads=float_heads,
    )
    return onnx.load_from_string(data)


def output_scale(program: onnx.ModelProto) -> float:
    """Return the difference between neighboring values of the output."""
    (scale,) = [
        node.input[1]
        for node in program.graph.node
        if node.op_type == "DequantizeLinear" and node.output[0] == program.graph.output[0].name
    ]
    (tensor,) = [tensor for tensor in program.graph.initializer if tensor.name == scale]
    return float(onnx.numpy_helper.to_array(tensor))
