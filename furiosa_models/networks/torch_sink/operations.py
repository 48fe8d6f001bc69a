"""All ONNX operations that have a PyTorch form, as functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

from . import arithmetic, images, layers, pools, quantization, shapes
from .values import Operations

__all__ = ["OPERATIONS", "SETTINGS"]

OPERATIONS: Operations = {
    **arithmetic.OPERATIONS,
    **layers.OPERATIONS,
    **pools.OPERATIONS,
    **shapes.OPERATIONS,
    **images.OPERATIONS,
    **quantization.OPERATIONS,
}
SETTINGS: dict[str, Sequence[int]] = {
    **dict.fromkeys(("Expand", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze"), (1,)),
    **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), (1,)),
    **dict.fromkeys(("Clip", "QuantizeLinear"), (1, 2)),
    "ConstantOfShape": (0,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
}
"""Places of the inputs that are settings of an operation, rather than tensors to compute with."""
