"""Operations that choose elements: resizing, gathering, and ranges."""

from __future__ import annotations

from ..operation import Operation
from ..values import CHANNELS_FIRST
from .shape import as_int64, move

__all__ = [
    "gather",
    "gather_nd",
    "number_range",
    "one_hot",
    "resize_bilinear",
    "resize_nearest",
]


def resize_bilinear(op: Operation) -> None:
    """Convert RESIZE_BILINEAR."""
    op.finish(_resize(op, op.real(0, CHANNELS_FIRST), mode="linear"), CHANNELS_FIRST)


def resize_nearest(op: Operation) -> None:
    """Convert RESIZE_NEAREST_NEIGHBOR."""
    exact = op.options["align_corners"] or op.options["half_pixel_centers"]
    rounding = "round_prefer_ceil" if exact else "floor"
    move(op, lambda x: _resize(op, x, mode="nearest", nearest_mode=rounding), CHANNELS_FIRST)


def _resize(op: Operation, x: str, **attributes: str) -> str:
    batch, _, _, channels = op.shape(0, rank=4)
    height, width = op.integers(1)
    if op.options["align_corners"]:
        coordinates = "align_corners"
    else:
        coordinates = "half_pixel" if op.options["half_pixel_centers"] else "asymmetric"
    sizes = op.indices([batch, channels, height, width])
    attributes["coordinate_transformation_mode"] = coordinates
    return op.emit("Resize", [x, "", "", sizes], **attributes)


def gather(op: Operation) -> None:
    """Convert GATHER along one dimension, of each row separately with batch dimensions."""
    axis, rows = op.axis(op.options["axis"]), op.options["batch_dims"]
    if not rows:
        move(op, lambda x: op.emit("Gather", [x, op.stored(1)], axis=axis))
    elif axis == rows:
        index = op.emit("Unsqueeze", [as_int64(op, 1), op.indices([-1])])
        move(op, lambda x: op.emit("GatherND", [x, index], batch_dims=rows))
    else:
        op.refuse(f"it gathers along dimension {axis} with {rows} batch dimensions")


def gather_nd(op: Operation) -> None:
    """Convert GATHER_ND."""
    index = as_int64(op, 1)
    move(op, lambda x: op.emit("GatherND", [x, index]))


def one_hot(op: Operation) -> None:
    """Convert ONE_HOT, of indices, depth, and the numbers at an index and elsewhere.

    An index outside the range selects nothing. The operation of ONNX counts negative ones from the
    end, so that the indices are compared instead.
    """
    rank = op.value(0).rank + 1
    axis = op.options["axis"] % rank if op.options["axis"] != -1 else rank - 1
    index = op.emit("Unsqueeze", [as_int64(op, 0), op.indices([axis])])
    depth = op.emit("Reshape", [as_int64(op, 1), op.indices([])])
    every = op.emit("Range", [op.number(0, "int64"), depth, op.number(1, "int64")])
    every = op.emit("Reshape", [every, op.indices([-1, *[1] * (rank - 1 - axis)])])
    op.finish(op.emit("Where", [op.emit("Equal", [index, every]), op.real(2), op.real(3)]))


def number_range(op: Operation) -> None:
    """Convert RANGE, of start, limit, and step."""
    op.finish(op.emit("Range", [op.real(i) for i in range(3)]))
