"""Kernels of `furiosa_models.vision` in Rust; call them through the modules there.

They release the GIL, read any strides (copying what is not dense) and raise
`furiosa_models.errors.ShapeError` for an array of the wrong rank, shape or dtype and `ValueError`
for a word or a number outside its domain.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "batched_nms",
    "box_iou",
    "decode_ssd",
    "decode_yolo",
    "instructions",
    "normalize",
    "prepare",
    "resize",
    "top_k",
]

_Limits: TypeAlias = tuple[int | None, int | None, int | None]
"""How many candidates, candidates of a class, and detections there may be."""

_Found: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Boxes, scores and class ids of an image."""

__version__: Final[str]
"""Version of the crate."""

def instructions() -> str:
    """Return which instructions the kernels use here: `avx2` or `baseline`."""

def resize(image: NDArray[np.uint8], out: NDArray[np.uint8], interpolation: str) -> None:
    """Resize `image`, `(h, w, 1 or 3)`, into `out`, whose shape is the target size."""

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
    """Resize `image`, `(h, w, 3)`, and lay it on the canvas `out`, `(3, h, w)`.

    Args:
        image: uint8 pixels.
        out: C-contiguous; every pixel is written.
        resized: height and width of the resized image.
        offset: row and column of the canvas where it begins; negative crops.
        fill: value of the pixels that it does not cover.
        reverse: whether the channels change their order.
        interpolation: see `images.resize.Interpolation`.
    """

def normalize(
    tensor: NDArray[np.uint8],
    mean: Sequence[float],
    std: Sequence[float],
    out: NDArray[np.float32],
) -> None:
    """Write `(tensor - mean) / std` of a tensor `(n, 3, h, w)` to `out`, in float32."""

def box_iou(boxes1: NDArray[np.float32], boxes2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the IoU `(n, m)` of xyxy boxes `(n, 4)` and `(m, 4)`."""

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
    """Return what is found in every image, and its keypoints; see `heads.yolo`."""

def top_k(
    values: NDArray[np.float32], k: int, softmax: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Return the class ids and scores of the `k` best of each row; see `heads.classification`."""
