"""From pixels to a network's input: resize, crop or letterbox, split the channels, normalise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from furiosa_models.enums import Platform
from furiosa_models.errors import ShapeError
from furiosa_models.images.resize import Interpolation, check_image, resize_numpy
from furiosa_models.ops import native
from furiosa_models.ops.checks import check_array, check_choice

__all__ = ["ImageContext", "ImageInput", "as_context", "normalize", "prepare"]

Pixels: TypeAlias = npt.NDArray[np.uint8]
Triple: TypeAlias = tuple[float, float, float]
Resize: TypeAlias = Literal["stretch", "letterbox", "crop"]


@dataclass(frozen=True, slots=True)
class ImageInput:
    """What a network wants to see.

    Attributes:
        size: height and width of the input.
        resize: `stretch` to the size; `letterbox`, keep the aspect ratio and pad (YOLO, with
            enlarging and without rounding the padding to a stride); `crop`, resize the shorter
            side to `resize_to` and keep the centre.
        interpolation: see `resize.Interpolation`.
        resize_to: shorter side before a crop; the longer is `int(resize_to * longer / shorter)`.
        crop_rounding: an odd margin's half rounds to `floor` (ResNet50) or `even` (EfficientNet).
        pad_value: grey level around an image that does not fill the input.
        mean: subtracted from red, green and blue, 0..255.
        std: divides red, green and blue, 0..255.
        color: the network's order of channels.
    """

    size: tuple[int, int]
    resize: Resize = "stretch"
    interpolation: Interpolation = "opencv_linear"
    resize_to: int | None = None
    crop_rounding: Literal["floor", "even"] = "floor"
    pad_value: int = 114
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    color: Literal["rgb", "bgr"] = "rgb"

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a photo is resized to, before any crop or padding."""
        return _layout(self, height, width).resized

    def __post_init__(self) -> None:
        check_choice("interpolation", self.interpolation, get_args(Interpolation))
        check_choice("resize", self.resize, get_args(Resize))
        check_choice("crop_rounding", self.crop_rounding, ("floor", "even"))
        check_choice("color", self.color, ("rgb", "bgr"))
        if self.resize == "crop" and not self.resize_to:
            msg = "resize='crop' needs resize_to, the length of the shorter side before the crop"
            raise ValueError(msg)
        if 0.0 in self.std:
            msg = f"std must not hold a zero, got {self.std}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class ImageContext:
    """Where a network's input came from; what takes detections back to the photo.

    Attributes:
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        scale: resized length over original length (letterbox and crop; 1 for stretch).
        pad: width and height of the margin before the image; negative where a crop cuts.
    """

    width: int
    height: int
    scale: float = 1.0
    pad: tuple[float, float] = (0.0, 0.0)

    def keys(self) -> Iterator[str]:
        """Return the names of the fields, which are the keys of the contexts of 0.10."""
        return (field.name for field in fields(self))

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)


def as_context(value: ImageContext | Mapping[str, Any]) -> ImageContext:
    """Return the context, read from a mapping with the keys of 0.10 if it is one.

    Raises:
        ValueError: neither a context nor a mapping with only the keys of one.
    """
    if isinstance(value, ImageContext):
        return value
    try:
        known = {"width": 0, "height": 0} | dict(value)
        pad = known.pop("pad", (0.0, 0.0))
        return ImageContext(**known, pad=(float(pad[0]), float(pad[1])))
    except (TypeError, ValueError, IndexError) as error:
        msg = f"a context has the keys width, height, scale and pad, got {value!r}"
        raise ValueError(msg) from error


class _Layout(NamedTuple):
    """Where the resized image lies on the input: one rule for stretch, letterbox and crop."""

    resized: tuple[int, int]
    offset: tuple[int, int]
    scale: float
    pad: tuple[float, float]


def _layout(spec: ImageInput, height: int, width: int) -> _Layout:
    if spec.resize == "letterbox":
        return _letterbox(spec, height, width)
    if spec.resize == "crop":
        return _crop(spec, height, width)
    return _Layout(spec.size, (0, 0), 1.0, (0.0, 0.0))


def _letterbox(spec: ImageInput, height: int, width: int) -> _Layout:
    scale = min(spec.size[0] / height, spec.size[1] / width)
    resized = max(round(height * scale), 1), max(round(width * scale), 1)
    down, across = (spec.size[0] - resized[0]) / 2, (spec.size[1] - resized[1]) / 2
    offset = round(down - 0.1), round(across - 0.1)  # an odd margin is one larger at the end
    return _Layout(resized, offset, scale, (across, down))


def _crop(spec: ImageInput, height: int, width: int) -> _Layout:
    shorter, longer = sorted((height, width))
    short = spec.resize_to or shorter
    long = int(short * longer / shorter)
    resized = (short, long) if height <= width else (long, short)
    down, across = (
        _centre(length - place, spec.crop_rounding)
        for length, place in zip(resized, spec.size, strict=True)
    )
    offset = -down, -across
    return _Layout(resized, offset, short / shorter, (float(offset[1]), float(offset[0])))


def _centre(margin: int, rounding: Literal["floor", "even"]) -> int:
    """Return how much of a margin comes before the centre; negative is padding."""
    if margin < 0:
        return -(-margin // 2)
    return round(margin / 2) if rounding == "even" else margin // 2


def prepare(
    image: Pixels,
    spec: ImageInput,
    *,
    bgr: bool = False,
    platform: Platform = Platform.RUST,
    out: Pixels | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Pixels, ImageContext]:
    """Return the network's input made of one image, `(3, h, w)` uint8, and its context.

    Args:
        image: `(h, w, 3)` uint8, RGB, or BGR if `bgr`.
        spec: what the network wants.
        bgr: order of the image's channels.
        platform: RUST or PYTHON (numpy); both give the same bits.
        out: a C-contiguous `(3, h, w)` uint8 array to fill and return, such as one of a batch.
        size: height and width of the photo, where the image is a smaller draft of it.

    Raises:
        ShapeError: not such an image, or not such an `out`.
    """
    check_image(image, channels=(3,))
    canvas = np.empty((3, *spec.size), np.uint8) if out is None else _check_out(out, spec.size)
    height, width = size or image.shape[:2]
    layout = _layout(spec, height, width)
    reverse = bgr is (spec.color == "rgb")
    if native.wanted(platform):
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
    return canvas, ImageContext(width, height, layout.scale, layout.pad)


def _check_out(out: Pixels, size: tuple[int, int]) -> Pixels:
    check_array("out", out, np.uint8, (3, *size))
    if not out.flags.c_contiguous:
        msg = "out must be C-contiguous; pass an item of a new batch, not a transposed view"
        raise ShapeError(msg)
    return out


def _prepare_numpy(image: Pixels, spec: ImageInput, layout: _Layout, canvas: Pixels) -> None:
    resized = resize_numpy(image, *layout.resized, spec.interpolation)
    (top, rows), (left, columns) = (
        _visible(length, place, offset)
        for length, place, offset in zip(layout.resized, spec.size, layout.offset, strict=True)
    )
    canvas[:] = spec.pad_value
    canvas[:, top, left] = resized[rows, columns].transpose(2, 0, 1)


def _visible(length: int, canvas: int, offset: int) -> tuple[slice, slice]:
    """Return where samples laid at `offset` meet the canvas, and which of them do."""
    first, end = max(offset, 0), min(offset + length, canvas)
    return slice(first, end), slice(first - offset, end - offset)


def normalize(
    tensor: Pixels, spec: ImageInput, platform: Platform = Platform.RUST
) -> npt.NDArray[np.float32]:
    """Return `(tensor - mean) / std` for a uint8 tensor `(n, 3, h, w)`.

    Both platforms subtract and divide in float32, so they agree to the last bit.

    Raises:
        ShapeError: not such a tensor.
    """
    check_array("tensor", tensor, np.uint8, ("n", 3, "h", "w"))
    order = slice(None, None, -1 if spec.color == "bgr" else 1)
    mean, std = spec.mean[order], spec.std[order]
    out = np.empty(tensor.shape, np.float32)
    if native.wanted(platform):
        native.load().normalize(tensor, mean, std, out)
    else:
        np.subtract(tensor, np.array(mean, np.float32)[:, None, None], out=out)
        np.divide(out, np.array(std, np.float32)[:, None, None], out=out)
    return out
