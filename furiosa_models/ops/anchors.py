"""Default boxes of SSD heads, and anchors of YOLO heads.

Default boxes are in cxcywh format: center x, center y, width and height, as fractions of the image.
They are ordered by map, from fine to coarse, then by cell (row by row) and box of the cell
(TensorFlow), or by box of the cell and then cell (MLPerf's PyTorch); see `heads.ssd.SSDLayout`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Anchors",
    "Shape",
    "default_boxes",
    "multiple_grid_anchors",
    "yolo_p5_anchors",
    "yolo_p6_anchors",
]

Anchors: TypeAlias = npt.NDArray[np.float32]
Shape: TypeAlias = tuple[int, int]
_Spec: TypeAlias = tuple[tuple[float, float], ...]

_SSD_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)  # 21, 45, 99, ... of 300 pixels
_SSD_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
_YOLO_P5 = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
_YOLO_P6 = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)
_ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 1.0 / 3)


@cache
def yolo_p5_anchors() -> Anchors:
    """Return the anchors of YOLOv5 v6.0 at 640 pixels, `(3, 3, 2)` float32: strides 8, 16 and 32.

    Width and height are in cells (units of the stride), as in checkpoints and in 0.10. The array is
    read-only and shared between calls.
    """
    return _in_cells(_YOLO_P5)


@cache
def yolo_p6_anchors() -> Anchors:
    """Return the anchors of YOLOv5 v6.0 P6 and YOLOv7-w6, `(4, 3, 2)`: strides 8, 16, 32 and 64.

    See `yolo_p5_anchors`.
    """
    return _in_cells(_YOLO_P6)


def _in_cells(pixels: tuple[tuple[tuple[int, int], ...], ...]) -> Anchors:
    sizes = np.array(pixels, np.float32)
    strides = np.float32(8) * 2 ** np.arange(len(sizes), dtype=np.float32)
    return _frozen([sizes / strides[:, None, None]])


@lru_cache(maxsize=8)
def default_boxes(
    maps: tuple[Shape, ...],
    *,
    scales: tuple[float, ...] = _SSD_SCALES,
    ratios: tuple[tuple[float, ...], ...] = _SSD_RATIOS,
) -> Anchors:
    """Return the default boxes of the SSD paper, in the order of MLPerf's SSDResNet34.

    Each cell has a square box of its map's scale, a square box between that and the next scale, and
    a wide and a tall box for each ratio. They are computed in float64 and clipped to 0..1.

    Args:
        maps: Height and width of each feature map, from fine to coarse.
        scales: Scale of each map, and one more.
        ratios: Aspect ratios of the non-square boxes of each map.

    Returns:
        `(n, 4)` float32 cxcywh, ordered by map, box of the cell, cell. Read-only and shared between
        calls.
    """
    grids = []
    for (height, width), (scale, following), own in zip(
        maps, pairwise(scales), ratios, strict=True
    ):
        between = math.sqrt(scale * following)
        sizes = [(scale, scale), (between, between)]
        for root in (math.sqrt(ratio) for ratio in own):
            sizes += [(scale * root, scale / root), (scale / root, scale * root)]
        y, x = np.mgrid[:height, :width].reshape(2, -1) + 0.5
        centers = np.stack((x / width, y / height), axis=1)
        for size in sizes:
            columns = np.concatenate((centers, np.broadcast_to(size, centers.shape)), axis=1)
            grids.append(columns.clip(0, 1).astype(np.float32))
    return _frozen(grids)


@lru_cache(maxsize=8)
def multiple_grid_anchors(
    maps: tuple[Shape, ...], *, min_scale: float = 0.2, max_scale: float = 0.95
) -> Anchors:
    """Return the default boxes of TensorFlow's `multiple_grid_anchor_generator`.

    Scales increase linearly from `min_scale` to `max_scale` over the maps. The first map has three
    boxes per cell: scale 0.1, and the first scale with ratios 2:1 and 1:2. The other maps have one
    box per aspect ratio (1, 2, 1/2, 3, 1/3) and a square box between this scale and the next.

    Args:
        maps: Height and width of each feature map, from fine to coarse.
        min_scale: Scale of the first map, as a fraction of the image.
        max_scale: Scale of the last map.

    Returns:
        `(n, 4)` float32 cxcywh. Read-only and shared between calls.
    """
    last = max(len(maps) - 1, 1)
    scales = [min_scale + (max_scale - min_scale) * i / last for i in range(len(maps))] + [1.0]
    specs: list[_Spec] = [((0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5))]
    for scale, following in pairwise(scales[1:]):
        between = (float(np.sqrt(scale * following)), 1.0)
        specs.append((*((scale, ratio) for ratio in _ASPECT_RATIOS), between))
    return _frozen([_grid(shape, spec) for shape, spec in zip(maps, specs, strict=True)])


def _grid(shape: Shape, spec: _Spec) -> Anchors:
    """Return the boxes of one map, computed in float32 from their corners.

    The published graphs contain corners, so a size is the difference of two rounded corners.
    """
    scale, ratio = np.array(spec, np.float32).T
    root = np.sqrt(ratio)
    height, width = scale / root, scale * root
    y, x = (
        np.arange(n, dtype=np.float32) * np.float32(1.0 / n) + np.float32(0.5 * (1.0 / n))
        for n in shape
    )
    half = np.float32(0.5)
    top, bottom = y[:, None, None] - half * height, y[:, None, None] + half * height
    left, right = x[:, None] - half * width, x[:, None] + half * width
    height, width = bottom - top, right - left
    columns = np.broadcast_arrays(left + half * width, top + half * height, width, height)
    return np.stack(columns, axis=-1).reshape(-1, 4)


def _frozen(grids: Sequence[Anchors]) -> Anchors:
    anchors = np.concatenate(grids)
    anchors.flags.writeable = False
    return anchors
