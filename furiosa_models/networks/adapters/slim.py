"""Adapter of TensorFlow's quantized SSD MobileNet."""

from __future__ import annotations

from .. import layers
from ._arrays import Array, Arrays, folded

__all__ = ["slim_fake_quant"]


def slim_fake_quant(arrays: Arrays) -> dict[str, Array]:
    """Convert TFLite files of TensorFlow's quantization-aware SSD, with kernels (O, kh, kw, I)."""
    adapted: dict[str, Array] = {}
    for name, array in arrays.items():
        scope, _, leaf = name.replace("MobilenetV1/MobilenetV1/", "MobilenetV1/").rpartition("/")
        if leaf == "FakeQuantWithMinMaxVars":
            scope = scope.removesuffix("/weights_quant")
            kernel = "depthwise_weights" if scope.endswith("_depthwise") else "weights"
            adapted[f"{scope}/{kernel}"] = array.transpose(1, 2, 3, 0)
        elif leaf == "Conv2D_bias":
            adapted[f"{scope}/biases"] = array
        elif leaf.endswith("_Fold_bias"):
            adapted |= folded(scope, layers.SLIM, array)
    return adapted
