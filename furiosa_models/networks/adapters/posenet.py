"""Adapter of PoseNet, whose files have folded normalization."""

from __future__ import annotations

import re

from .. import layers
from ._arrays import Array, Arrays, folded

__all__ = ["posenet_tflite"]

_SCOPE = "MobilenetV1"
_HEADS = ("heatmap", "offset", "displacement_fwd", "displacement_bwd")


def posenet_tflite(arrays: Arrays) -> dict[str, Array]:
    """Convert TFLite files of PoseNet, with kernels (O, kh, kw, I).

    Biases have the number of their layer among those of its kind: `depthwise_3_bias`.
    """
    adapted: dict[str, Array] = {}
    for name, array in arrays.items():
        if name.endswith("weights"):
            adapted[name] = array.transpose(1, 2, 3, 0)
        elif match := re.fullmatch(r"(\w+/)?(Conv2D|depthwise)(?:_(\d+))?_bias", name):
            number = int(match[3] or 0)
            if match[1] is None:
                adapted[f"{_SCOPE}/{_HEADS[number]}_2/biases"] = array
            elif match[2] == "depthwise":
                adapted |= folded(f"{_SCOPE}/Conv2d_{number + 1}_depthwise", layers.SLIM, array)
            else:
                scope = f"{_SCOPE}/Conv2d_{number}" + ("_pointwise" if number else "")
                adapted |= folded(scope, layers.SLIM, array)
    return adapted
