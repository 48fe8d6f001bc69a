"""Sums, means, extrema, and normalizations over dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..operation import Operation
from ..values import CHANNELS_FIRST, Order

__all__ = [
    "arg_extremum",
    "batch_matmul",
    "cumulative_sum",
    "l2_normalize",
    "local_response_normalize",
    "log_softmax",
    "reduction",
    "softmax",
    "top_k",
]

_L2_EPSILON = 1e-6
_INT32, _BOOL = 6, 9


def reduction(kind: str) -> Callable[[Operation], None]:
    """Return the converter of a reduction; the second input is its dimensions."""

    def convert(op: Operation) -> None:
        axes = sorted({op.axis(axis) for axis in op.integers(1)})
        keep = op.options["keep_dims"]
        order = op.order(0)
        if order is not None and not keep and not _removes_image(axes):
            order = None
        moved = [op.moved(axis, order) for axis in axes]
        made = _reduce(op, kind, op.real(0, order), moved, keep)
        op.finish(made, order if keep else None)

    return convert


def _removes_image(axes: list[int]) -> bool:
    """Return whether what is left of an image (N, H, W, C) has the same order in any layout."""
    return {1, 2} <= {*axes} or 3 in axes


def _reduce(op: Operation, kind: str, x: str, axes: list[int], keep: bool) -> str:
    if kind == "ReduceSum":
        return op.emit(kind, [x, op.indices(axes)], keepdims=int(keep))
    if kind in ("ReduceAll", "ReduceAny"):
        numbers = op.emit("Cast", [x], to=_INT32)
        chosen = "ReduceMin" if kind == "ReduceAll" else "ReduceMax"
        made = op.emit(chosen, [numbers], axes=axes, keepdims=int(keep))
        return op.emit("Cast", [made], to=_BOOL)
    return op.emit(kind, [x], axes=axes, keepdims=int(keep))


def softmax(op: Operation) -> None:
    """Convert SOFTMAX over the last dimension, of the input times `beta`."""
    order = op.order(0)
    x = op.real(0, order)
    if op.options["beta"] != 1:
        x = op.emit("Mul", [x, op.number(op.options["beta"])])
    op.finish(op.emit("Softmax", [x], axis=op.moved(-1, order)), order)


def log_softmax(op: Operation) -> None:
    """Convert LOG_SOFTMAX over the last dimension."""
    order = op.order(0)
    op.finish(op.emit("LogSoftmax", [op.real(0, order)], axis=op.moved(-1, order)), order)


def l2_normalize(op: Operation) -> None:
    """Convert L2_NORMALIZATION over the last dimension."""
    order: Order = op.order(0)
    x = op.real(0, order)
    length = op.emit("ReduceL2", [x], axes=[op.moved(-1, order)], keepdims=1)
    length = op.emit("Max", [length, op.number(_L2_EPSILON)])
    op.finish(op.emit("Div", [x, length]), order)


def local_response_normalize(op: Operation) -> None:
    """Convert LOCAL_RESPONSE_NORMALIZATION over the channels."""
    size = 2 * op.options["radius"] + 1
    made = op.emit(
        "LRN",
        [op.real(0, CHANNELS_FIRST)],
        size=size,
        alpha=op.options["alpha"] * size,
        beta=op.options["beta"],
        bias=op.options["bias"],
    )
    op.finish(made, CHANNELS_FIRST)


def arg_extremum(op: Operation) -> None:
    """Convert ARG_MAX and ARG_MIN; the first of equal elements counts."""
    kind = "ArgMax" if op.kind == "ARG_MAX" else "ArgMin"
    (axis,) = op.integers(1)
    made = op.emit(kind, [op.real()], axis=op.axis(axis), keepdims=0)
    if op.outputs[0].tensor.dtype != "int64":
        made = op.emit("Cast", [made], to=_INT32)
    op.define(made)


def top_k(op: Operation) -> None:
    """Convert TOPK_V2, the largest elements along the last dimension, and where they are."""
    (count,) = op.integers(1)
    values, indices = op.emit_many("TopK", [op.real(), op.indices([count])], 2, axis=-1)
    op.finish(values)
    op.define(op.emit("Cast", [indices], to=_INT32), number=1)


def batch_matmul(op: Operation) -> None:
    """Convert BATCH_MATMUL, of matrices that may be transposed."""
    factors = []
    for index, flag in ((0, "adj_x"), (1, "adj_y")):
        factor = op.real(index)
        if op.options[flag]:
            perm = list(range(op.value(index).rank))
            perm[-2:] = perm[:-3:-1]
            factor = op.emit("Transpose", [factor], perm=perm)
        factors.append(factor)
    op.finish(op.emit("MatMul", factors))


def cumulative_sum(op: Operation) -> None:
    """Convert CUMSUM."""
    (axis,) = op.integers(1)
    at = op.array(np.array(op.axis(axis), np.int64), "axis")
    exclusive, backward = int(op.options["exclusive"]), int(op.options["reverse"])
    op.finish(op.emit("CumSum", [op.real(), at], exclusive=exclusive, reverse=backward))
