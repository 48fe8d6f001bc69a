"""Padding, resizing, and exchange of pixels and channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F  # its customary name

from ...errors import ConversionError
from .values import Operations, Tensor, indices_of, number_of, pairs, registering, sizes_of

__all__ = ["OPERATIONS"]

OPERATIONS: Operations = {}
operation = registering(OPERATIONS)


@operation("Pad")
def _pad(
    x: Tensor,
    pads: Any = None,
    value: Any = None,
    axes: Any = None,
    mode: Any = "constant",
    **old: Any,
) -> Tensor:
    sizes = sizes_of(old.get("pads", pads))
    half = len(sizes) // 2
    chosen = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in sizes_of(axes)]
    begins, ends = [0] * x.ndim, [0] * x.ndim
    for axis, begin, end in zip(chosen, sizes[:half], sizes[half:], strict=True):
        begins[axis], ends[axis] = begin, end
    if mode == "constant":
        number = old.get("value", value)
        fill = 0.0 if number is None else number_of(number)
        return F.pad(x, pairs(begins + ends), value=fill)
    for axis, pair in enumerate(zip(begins, ends, strict=True)):
        if any(pair):
            order = np.pad(np.arange(int(x.shape[axis])), pair, mode=mode)
            x = x.index_select(axis, indices_of(order.tolist(), x))
    return x


@operation("Resize")
def _resize(
    x: Tensor, _roi: Any = None, scales: Any = None, sizes: Any = None, **options: Any
) -> Tensor:
    mode = options.get("mode", "nearest")
    transformation = options.get("coordinate_transformation_mode", "half_pixel")
    given = scales if sizes is None else sizes
    is_unknown = (
        "axes" in options or options.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    )
    if is_unknown or options.get("antialias") or given is None or len(sizes_of(given)) != x.ndim:
        msg = "Resize with axes, antialias or a policy has no PyTorch form here"
        raise ConversionError(msg)
    old = [int(size) for size in x.shape[2:]]
    if sizes is None:
        factors = [float(factor) for factor in sizes_of(scales)[2:]]
        new = [math.floor(size * factor) for size, factor in zip(old, factors, strict=True)]
    else:
        new = sizes_of(sizes)[2:]
        factors = [size / before for size, before in zip(new, old, strict=True)]
    if mode == "nearest":
        rounding = options.get("nearest_mode", "round_prefer_floor")
        return _nearest(x, new, factors, transformation, rounding)
    is_exact = transformation == "half_pixel" or 1 not in new
    align = {"half_pixel": False, "pytorch_half_pixel": False, "align_corners": True}
    if mode != "linear" or x.ndim != 4 or transformation not in align or not is_exact:
        msg = f"Resize {mode} {transformation} of {x.ndim} dimensions has no PyTorch form here"
        raise ConversionError(msg)
    if align[transformation] or sizes is not None:
        return F.interpolate(x, new, mode="bilinear", align_corners=align[transformation])
    return F.interpolate(x, scale_factor=factors, mode="bilinear", align_corners=False)


def _nearest(
    x: Tensor, new: Sequence[int], factors: Sequence[float], transformation: str, rounding: str
) -> Tensor:
    """Return an image whose pixels are those of another one."""
    old = [int(size) for size in x.shape[2:]]
    places = [
        _places(before, after, factor, transformation, rounding)
        for before, after, factor in zip(old, new, factors, strict=True)
    ]
    is_repeated = all(
        after % before == 0 and (each == np.arange(after) // (after // before)).all()
        for before, after, each in zip(old, new, places, strict=True)
    )
    if is_repeated:
        return F.interpolate(x, tuple(new), mode="nearest")
    for axis, each in enumerate(places, start=2):
        x = x.index_select(axis, indices_of(each.tolist(), x))
    return x


_ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _places(before: int, after: int, factor: float, transformation: str, rounding: str) -> Any:
    """Return the index in the old image of each index in the new one, along one axis."""
    index = np.arange(after, dtype=np.float32)
    scale = np.float32(factor)
    if transformation == "asymmetric" or scale == 1:
        places = index if scale == 1 else index / scale
    elif transformation == "align_corners":
        places = index * np.float32((before - 1) / (after - 1)) if after > 1 else index * 0
    elif transformation in ("half_pixel", "pytorch_half_pixel"):
        is_first = transformation == "pytorch_half_pixel" and after == 1
        places = index * 0 if is_first else (index + np.float32(0.5)) / scale - np.float32(0.5)
    else:
        msg = f"Resize nearest {transformation} has no PyTorch form here"
        raise ConversionError(msg)
    return np.clip(_ROUNDINGS[rounding](places), 0, before - 1).astype(np.int64)


@operation("DepthToSpace")
def _depth_to_space(x: Tensor, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "CRD":
        return F.pixel_shuffle(x, blocksize)
    n, c, h, w = x.shape
    parts = x.reshape(n, blocksize, blocksize, c // blocksize**2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, h * blocksize, w * blocksize)


@operation("SpaceToDepth")
def _space_to_depth(x: Tensor, blocksize: int) -> Tensor:
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // blocksize, blocksize, w // blocksize, blocksize)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // blocksize, w // blocksize)


@operation("GridSample")
def _grid_sample(
    x: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: int = 0,
) -> Tensor:
    modes = {"linear": "bilinear", "cubic": "bicubic"}  # the names since opset 20
    found: Tensor = F.grid_sample(
        x,
        grid,
        mode=modes.get(mode, mode),
        padding_mode=padding_mode,
        align_corners=bool(align_corners),
    )
    return found
