"""Rust kernels; call them through the modules of `furiosa_models`, which also check arguments.

They release the GIL and accept any strides (arrays that are not dense are copied). They raise
`furiosa_models.errors.ShapeError` if an array has the wrong rank, shape or dtype, and `ValueError`
if a string or a number is outside its domain.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "assign",
    "batched_nms",
    "box_iou",
    "choose_classes",
    "decode_center_pose",
    "decode_ssd",
    "decode_yolo",
    "instructions",
    "normalize",
    "prepare",
    "resize",
    "resize_alpha",
    "resize_masks",
    "top_k",
]

_Limits: TypeAlias = tuple[int | None, int | None, int | None]
"""Maximum number of candidates, of candidates per class, and of detections."""

_Found: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Boxes, scores and class ids of an image."""

__version__: Final[str]
"""Version of the crate."""

def instructions() -> str:
    """Return the instruction set that the kernels use: `avx2` or `baseline`."""

def resize(image: NDArray[np.uint8], out: NDArray[np.uint8], interpolation: str) -> None:
    """Resize `image`, `(h, w, 1 or 3)`, to the shape of `out`, and write it there."""

def prepare(
    image: NDArray[np.uint8],
    out: NDArray[np.uint8],
    *,
    resized: tuple[int, int],
    offset: tuple[int, int],
    fill: int,
    reverse: bool,
    interpolation: str,
) -> None:
    """Resize `image`, `(h, w, 3)`, and place it on the canvas `out`, `(3, h, w)`.

    Args:
        image: uint8 pixels.
        out: C-contiguous; every pixel is written.
        resized: Height and width of the resized image.
        offset: Row and column of the canvas where the image starts; negative values crop it.
        fill: Value of pixels that the image does not cover.
        reverse: Whether to reverse the order of the channels.
        interpolation: See `spec.Interpolation`.
    """

def normalize(
    tensor: NDArray[np.uint8],
    mean: Sequence[float],
    std: Sequence[float],
    out: NDArray[np.float32],
) -> None:
    """Write `(tensor - mean) / std` as float32 to `out`, for a tensor `(n, 3, h, w)`."""

def box_iou(boxes1: NDArray[np.float32], boxes2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the IoU `(n, m)` of xyxy boxes `(n, 4)` and `(m, 4)`."""

def assign(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the column of each row with the least total cost; see `ops.assignment.assign`."""

def batched_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    *,
    iou_threshold: float,
    epsilon: float,
    limits: _Limits,
) -> NDArray[np.int64]:
    """Return the indices of the boxes to keep, best first; see `ops.nms.batched_nms`."""

def decode_center_pose(
    center: NDArray[np.float32],
    box_scale: NDArray[np.float32],
    box_offset: NDArray[np.float32],
    keypoint_heat: NDArray[np.float32],
    keypoint_guess: NDArray[np.float32],
    keypoint_offset: NDArray[np.float32],
    *,
    max_detections: int,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
    """Return boxes, scores and keypoints of every image; see `heads.center_pose`."""

def decode_ssd(
    class_maps: Sequence[NDArray[np.float32]],
    box_maps: Sequence[NDArray[np.float32]],
    anchors: NDArray[np.float32],
    *,
    activation: str,
    class_major: bool,
    xy_first: bool,
    least_score: float,
    iou_threshold: float,
    epsilon: float,
    limits: _Limits,
) -> list[_Found]:
    """Return boxes, scores and class ids of every image; see `heads.ssd.decode_ssd`."""

def decode_yolo(
    first_maps: Sequence[NDArray[np.float32]],
    second_maps: Sequence[NDArray[np.float32]],
    anchors: NDArray[np.float32],
    strides: Sequence[float],
    *,
    keypoints: int,
    with_sigmoid: bool,
    least_score: float,
    iou_threshold: float,
    epsilon: float,
    limits: _Limits,
) -> list[tuple[_Found, NDArray[np.float32]]]:
    """Return detections and keypoints of every image; see `heads.yolo.decode_yolo`."""

def top_k(
    values: NDArray[np.float32], k: int, softmax: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Return class ids and scores of the `k` best of each row; see `heads.classification`."""

def choose_classes(
    scores: NDArray[np.float32],
    top: NDArray[np.int32],
    bottom: NDArray[np.int32],
    down: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    across: NDArray[np.float32],
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the best class of each pixel of a photo, for scores `(classes, h, w)`.

    The other arguments are the columns of two axes; see `ops.masks.choose_classes`.
    """

def resize_alpha(
    values: NDArray[np.float32],
    top: NDArray[np.int32],
    bottom: NDArray[np.int32],
    down: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    across: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Return the opacity of each pixel of a photo, for a map `(h, w)` of opacities.

    The other arguments are the columns of two axes; see `ops.masks.resize_alpha`.
    """

def resize_masks(
    values: NDArray[np.float32],
    top: NDArray[np.int32],
    bottom: NDArray[np.int32],
    down: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    across: NDArray[np.float32],
    windows: NDArray[np.int32],
    threshold: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the masks of a photo, bit by bit, and the sum of the values in each.

    Args:
        values: Maps `(n, h, w)`.
        top: A column of the rows' axis, as the next two; see `ops.packed_masks.resize_masks`.
        bottom: Samples below.
        down: Their weights.
        left: A column of the columns' axis, as the next two.
        right: Samples to the right.
        across: Their weights.
        windows: Top, left, bottom and right of the part of the photo where each mask may be,
            `(n, 4)`.
        threshold: Least value of a pixel of a mask.
    """
