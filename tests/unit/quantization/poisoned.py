"""The small network with one operation that 8 bits ruin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tests.unit.quantization.small import SIZE, network

POISONED = "pointwise"
_DEAD = 15


def poisoned_network() -> onnx.ModelProto:
    """Make a network whose pointwise convolution has huge weights for a channel that is always 0.

    The huge weights determine the scale of each output channel, so that all others round to 0.
    """
    model = network(scaled_inside=False)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if tensor.name in ("w1", "w2"):
            array[_DEAD] = 0
        elif tensor.name in ("b1", "b2"):
            array[_DEAD] = -1
        elif tensor.name == "w3":
            array[:, _DEAD] = 500
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


def photos(count: int, seed: int = 0) -> npt.NDArray[Any]:
    """Make inputs (count, 3, SIZE, SIZE) in float32."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count, 3, SIZE // 4, SIZE // 4)).astype(np.float32)
    return coarse.repeat(4, 2).repeat(4, 3)
