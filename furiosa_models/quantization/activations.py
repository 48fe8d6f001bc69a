"""Activations that the rounding to 8 bits replaces."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import numpy_helper

__all__ = ["exceeds_activations"]

_TOLERANCE = 1e-6
"""Part of a range that it may exceed an activation by, because of rounding."""


def exceeds_activations(graph: onnx.GraphProto, ranges: Mapping[str, tuple[float, float]]) -> bool:
    """Return whether the range of a `Relu` or `Clip` includes values that it clips.

    Otherwise the rounding to 8 bits clips them, so that ONNX Runtime's quantizer may remove it.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Relu", "Clip") or node.output[0] not in ranges:
            continue
        limits = [constants.get(name) for name in (*node.input[1:], "", "")[:2]]
        least, most = (None if t is None else numpy_helper.to_array(t).item() for t in limits)
        if node.op_type == "Relu":
            least = 0.0
        low, high = ranges[node.output[0]]
        margin = _TOLERANCE * (high - low)
        if (least is not None and low < min(least, 0) - margin) or (
            most is not None and high > max(most, 0) + margin
        ):
            return True
    return False
