"""From pixels to a network's input: resize, crop or letterbox, split the channels, normalize."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.images.resize import resize_numpy
from furiosa_models.ops import native
from furiosa_models.ops.checks import check_array, check_image
from furiosa_models.spec import ImageContext, ImageInput, Layout

__all__ = ["normalize", "prepare"]

Pixels: TypeAlias = npt.NDArray[np.uint8]


def prepare(
    image: Pixels,
    spec: ImageInput,
    *,
    bgr: bool = False,
    platform: Platform = Platform.RUST,
    out: Pixels | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Pixels, ImageContext]:
    """Resize an image, place it on the canvas, and split its channels.

    Args:
        image: `(h, w, 3)` uint8, RGB, or BGR if `bgr`.
        spec: Input specification of the network.
        bgr: Whether the channels are in the order blue, green, red.
        platform: RUST or PYTHON (numpy); both give the same bits.
        out: C-contiguous `(3, h, w)` uint8 array to fill and return, such as an item of a batch.
        size: Height and width of the full photo, if the image is a smaller draft of it.

    Returns:
        The network's input as `(3, h, w)` uint8, and the context that maps results back to the
        photo.

    Raises:
        ShapeError: `image` or `out` has the wrong shape or dtype.
    """
    check_image(image, channels=(3,))
    canvas = np.empty((3, *spec.size), np.uint8) if out is None else _check_out(out, spec.size)
    height, width = size or image.shape[:2]
    layout = spec.layout(height, width)
    reverse = bgr is (spec.color == "rgb")
    if native.is_selected(platform):
        native.load().prepare(
            image,
            canvas,
            resized=layout.resized,
            offset=layout.offset,
            fill=spec.pad_value,
            reverse=reverse,
            interpolation=spec.interpolation,
        )
    else:
        _prepare_numpy(image[:, :, ::-1] if reverse else image, spec, layout, canvas)
    stretch = (spec.size[1] / width, spec.size[0] / height) if spec.resize == "stretch" else None
    return canvas, ImageContext(width, height, layout.scale, layout.pad, stretch)


def _check_out(out: Pixels, size: tuple[int, int]) -> Pixels:
    check_array("out", out, np.uint8, (3, *size))
    if not out.flags.c_contiguous:
        msg = "out must be C-contiguous; pass an item of a new batch, not a transposed view"
        raise ShapeError(msg)
    return out


def _prepare_numpy(image: Pixels, spec: ImageInput, layout: Layout, canvas: Pixels) -> None:
    (top, rows), (left, columns) = (
        _visible(length, place, offset)
        for length, place, offset in zip(layout.resized, spec.size, layout.offset, strict=True)
    )
    resized = resize_numpy(image, *layout.resized, spec.interpolation, rows=rows, columns=columns)
    canvas[:] = spec.pad_value
    canvas[:, top, left] = resized.transpose(2, 0, 1)


def _visible(length: int, canvas: int, offset: int) -> tuple[slice, slice]:
    """Return where samples placed at `offset` lie on the canvas, and which of them do."""
    first, end = max(offset, 0), min(offset + length, canvas)
    return slice(first, end), slice(first - offset, end - offset)


def normalize(
    tensor: Pixels, spec: ImageInput, platform: Platform = Platform.RUST
) -> npt.NDArray[np.float32]:
    """Return `(tensor - mean) / std` as float32, for a uint8 tensor `(n, 3, h, w)`.

    Both platforms subtract and divide in float32, so they give the same bits.

    Raises:
        ShapeError: `tensor` has the wrong shape or dtype.
    """
    check_array("tensor", tensor, np.uint8, ("n", 3, "h", "w"))
    mean, std = spec.channel_scaling
    out = np.empty(tensor.shape, np.float32)
    if native.is_selected(platform):
        native.load().normalize(tensor, mean, std, out)
    else:
        np.subtract(tensor, np.array(mean, np.float32)[:, None, None], out=out)
        np.divide(out, np.array(std, np.float32)[:, None, None], out=out)
    return out
