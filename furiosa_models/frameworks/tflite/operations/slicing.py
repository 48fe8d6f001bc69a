"""Slices, padding, and blocks of space in the batch."""

from __future__ import annotations

import math

import numpy as np

from ..operation import Operation
from ..values import Order
from .shape import move

__all__ = [
    "batch_to_space",
    "mirror_pad",
    "pad",
    "reverse",
    "slice_tensor",
    "space_to_batch",
    "strided_slice",
]

_BEFORE_ALL = -(1 << 62)


def slice_tensor(op: Operation) -> None:
    """Convert SLICE, whose other inputs are begins and sizes; -1 is everything after the begin."""
    shape = op.shape()
    begins, sizes = op.integers(1), op.integers(2)
    ends = [
        extent if size < 0 else begin + size
        for begin, size, extent in zip(begins, sizes, shape, strict=True)
    ]
    order = op.order(0)
    move(op, lambda x: _slice(op, x, begins, ends, [1] * len(shape), order), order)


def strided_slice(op: Operation) -> None:
    """Convert STRIDED_SLICE, whose other inputs are begins, ends, and strides."""
    begins, ends, strides = (op.integers(i) for i in (1, 2, 3))
    if op.options["offset"]:
        ends = [begin + end for begin, end in zip(begins, ends, strict=True)]
    ranges = _Ranges(op, begins, ends, strides)
    full = [
        ranges.of(extent, entry) for extent, entry in zip(op.shape(), ranges.entries, strict=True)
    ]
    reshaped = op.options["new_axis_mask"] or op.options["shrink_axis_mask"]
    order = None if reshaped else op.order(0)
    starts, stops, steps = ([part[i] for part in full] for i in range(3))

    def make(x: str) -> str:
        made = _slice(op, x, starts, stops, steps, order)
        if not reshaped:
            return made
        sizes = [
            max(0, math.ceil((stop - start) / step))
            for start, stop, step in zip(starts, stops, steps, strict=True)
        ]
        return op.emit("Reshape", [made, op.indices(ranges.shape(sizes))])

    move(op, make, order)


class _Ranges:
    """The entries of a strided slice, assigned to the dimensions of its input.

    Attributes:
        entries: For each dimension of the input the number of its entry, or None for all of it.
    """

    def __init__(
        self, op: Operation, begins: list[int], ends: list[int], strides: list[int]
    ) -> None:
        self._given = list(zip(begins, ends, strides, strict=True))
        self._options = op.options
        self.entries: list[int | None] = []
        self._result: list[int | None] = []  # dimension of the input, or None for a new one
        used = [i for i in range(len(begins)) if not self._has("new_axis_mask", i)]
        ellipsis = next((i for i in range(len(begins)) if self._has("ellipsis_mask", i)), None)
        rank = op.value(0).rank
        whole = rank - len([i for i in used if i != ellipsis])
        for i in range(len(begins)):
            if i == ellipsis:
                self._take_whole(whole)
            elif self._has("new_axis_mask", i):
                self._result.append(None)
            else:
                if not self._has("shrink_axis_mask", i):
                    self._result.append(len(self.entries))
                self.entries.append(i)
        if ellipsis is None:
            self._take_whole(whole)

    def of(self, extent: int, entry: int | None) -> tuple[int, int, int]:
        """Return start, stop and step along a dimension; a stop of -1 is before its begin."""
        if entry is None:
            return 0, extent, 1
        begin, end, stride = self._given[entry]
        low, high = (0, extent) if stride > 0 else (-1, extent - 1)
        start = min(max(begin + extent if begin < 0 else begin, low), high)
        stop = min(max(end + extent if end < 0 else end, low), high)
        if self._has("begin_mask", entry):
            start = low if stride > 0 else high
        if self._has("end_mask", entry):
            stop = high if stride > 0 else low
        if self._has("shrink_axis_mask", entry):
            return start, start + 1, 1
        return (start, stop, stride) if (stop - start) * stride > 0 else (0, 0, 1)

    def shape(self, sizes: list[int]) -> list[int]:
        """Return the shape of the result, from the sizes along the dimensions of the input."""
        return [1 if dim is None else sizes[dim] for dim in self._result]

    def _has(self, mask: str, entry: int) -> bool:
        return bool(self._options[mask] >> entry & 1)

    def _take_whole(self, count: int) -> None:
        for _ in range(count):
            self._result.append(len(self.entries))
            self.entries.append(None)


def _slice(
    op: Operation, x: str, starts: list[int], stops: list[int], steps: list[int], order: Order
) -> str:
    """Add a slice along the dimensions that it shortens or reverses."""
    kept = [
        (start, _BEFORE_ALL if stop < 0 else stop, step, op.moved(axis, order))
        for axis, (start, stop, step, extent) in enumerate(
            zip(starts, stops, steps, op.shape(), strict=True)
        )
        if (start, stop, step) != (0, extent, 1)
    ]
    if not kept:
        return x
    columns = zip(*kept, strict=True)
    starts_, stops_, steps_, axes = (op.indices(column) for column in columns)
    return op.emit("Slice", [x, starts_, stops_, axes, steps_])


def reverse(op: Operation) -> None:
    """Convert REVERSE_V2."""
    axes = {op.axis(axis) for axis in op.integers(1)}
    shape, order = op.shape(), op.order(0)
    starts = [extent - 1 if axis in axes else 0 for axis, extent in enumerate(shape)]
    stops = [-1 if axis in axes else extent for axis, extent in enumerate(shape)]
    steps = [-1 if axis in axes else 1 for axis in range(len(shape))]
    move(op, lambda x: _slice(op, x, starts, stops, steps, order), order)


def pad(op: Operation) -> None:
    """Convert PAD, by zero, and PADV2, by a number."""
    order = op.order(0)
    pads = op.indices(_paddings(op, order))
    if op.keeps_quantization(0) and op.is_quantized():
        quantization = op.value(0).quantization
        assert quantization is not None
        zero = op.number(int(quantization.zero_point[0]), op.tensor().dtype)
        number = op.stored(2) if op.has(2) else zero
        op.define(op.emit("Pad", [op.stored(0, order), pads, number]), order)
    else:
        number = op.real(2) if op.has(2) else op.number(0, _dtype(op))
        op.finish(op.emit("Pad", [op.real(0, order), pads, number]), order)


def _dtype(op: Operation) -> str:
    """Return the type of the numbers of the first input."""
    return "float32" if op.is_quantized() else op.tensor().dtype


def mirror_pad(op: Operation) -> None:
    """Convert MIRROR_PAD, without the border (reflect), or with it (symmetric)."""
    order = op.order(0)
    if op.options["mode"] == 0:
        pads = op.indices(_paddings(op, order))
        move(op, lambda x: op.emit("Pad", [x, pads], mode="reflect"), order)
        return
    before_after = np.reshape(op.integers(1), (op.value(0).rank, 2)).tolist()

    def make(x: str) -> str:
        for axis, (before, after) in enumerate(before_after):
            extent, moved = op.shape()[axis], op.moved(axis, order)
            parts = [
                _flipped(op, x, before - 1, -1, moved) if before else None,
                x,
                _flipped(op, x, extent - 1, extent - 1 - after, moved) if after else None,
            ]
            kept = [part for part in parts if part is not None]
            x = op.emit("Concat", kept, axis=moved) if len(kept) > 1 else x
        return x

    move(op, make, order)


def _flipped(op: Operation, x: str, start: int, stop: int, axis: int) -> str:
    """Add a slice backwards along one dimension."""
    numbers = (start, _BEFORE_ALL if stop < 0 else stop, axis, -1)
    return op.emit("Slice", [x, *(op.indices([number]) for number in numbers)])


def _paddings(op: Operation, order: Order) -> list[int]:
    """Return the padding of all dimensions, begins, then ends."""
    before_after = np.reshape(op.integers(1), (op.value(0).rank, 2))
    axes = range(len(before_after)) if order is None else order
    return [int(before_after[axis][end]) for end in (0, 1) for axis in axes]


def space_to_batch(op: Operation) -> None:
    """Convert SPACE_TO_BATCH_ND, whose other inputs are block sizes and paddings."""
    blocks = op.integers(1)
    paddings = np.reshape(op.integers(2), (-1, 2)).tolist()
    batch, *extents = op.shape()
    count = len(blocks)
    rest = extents[count:]
    padded = [e + sum(p) for e, p in zip(extents, paddings, strict=False)]
    pads = [0, *(p[0] for p in paddings), *[0] * len(rest)]
    pads += [0, *(p[1] for p in paddings), *[0] * len(rest)]
    divided = [n for e, b in zip(padded, blocks, strict=True) for n in (e // b, b)]
    inner = [2 * i + 2 for i in range(count)]
    outer = [2 * i + 1 for i in range(count)]
    perm = [*inner, 0, *outer, *range(2 * count + 1, 2 * count + 1 + len(rest))]
    shape = [batch * math.prod(blocks), *(e // b for e, b in zip(padded, blocks, strict=True))]
    zero = _zero(op)

    def make(x: str) -> str:
        if any(pads):
            x = op.emit("Pad", [x, op.indices(pads), zero])
        x = op.emit("Reshape", [x, op.indices([batch, *divided, *rest])])
        x = op.emit("Transpose", [x], perm=perm)
        return op.emit("Reshape", [x, op.indices([*shape, *rest])])

    move(op, make)


def _zero(op: Operation) -> str:
    """Return the constant that stands for zero in the form that `move` chooses."""
    quantization = op.value(0).quantization
    if quantization is not None and op.keeps_quantization(0):
        return op.number(int(quantization.zero_point[0]), op.tensor().dtype)
    return op.number(0, _dtype(op))


def batch_to_space(op: Operation) -> None:
    """Convert BATCH_TO_SPACE_ND, whose other inputs are block sizes and crops."""
    blocks = op.integers(1)
    crops = np.reshape(op.integers(2), (-1, 2)).tolist()
    batch, *extents = op.shape()
    count = len(blocks)
    rest = extents[count:]
    batch //= math.prod(blocks)
    joined = [e * b for e, b in zip(extents, blocks, strict=False)]
    perm = [count]
    for i in range(count):
        perm += [count + 1 + i, i]
    perm += range(2 * count + 1, 2 * count + 1 + len(rest))
    ends = [size - crop[1] for size, crop in zip(joined, crops, strict=True)]

    def make(x: str) -> str:
        x = op.emit("Reshape", [x, op.indices([*blocks, batch, *extents])])
        x = op.emit("Transpose", [x], perm=perm)
        x = op.emit("Reshape", [x, op.indices([batch, *joined, *rest])])
        if not np.any(crops):
            return x
        axes = op.indices(range(1, count + 1))
        return op.emit("Slice", [x, op.indices([c[0] for c in crops]), op.indices(ends), axes])

    move(op, make)
