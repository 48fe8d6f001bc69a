"""A JPEG file to a network's input, milliseconds; and the resize alone, from decoded pixels.

Beside ours: OpenCV as furiosa-models 0.10 uses it, OpenCV at its best, simplejpeg (libjpeg-turbo)
with OpenCV, and Pillow. The floor is the entropy decoding of the file alone, in C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import common

common.enter()

import cv2
import numpy as np
import scenes
import simplejpeg
from PIL import Image

from furiosa_models.images.jpeg import reduction_factor
from furiosa_models.images.preprocess import prepare
from furiosa_models.images.read import read_image
from furiosa_models.spec import ImageInput

Pixels: TypeAlias = Any
Shape: TypeAlias = "Callable[[Pixels, Any], Pixels]"

PIPELINES = (
    ("VGA", ImageInput((300, 300)), 0.53),
    ("FHD", ImageInput((300, 300)), 3.2),
    ("FHD", ImageInput((640, 640), resize="letterbox"), 3.2),
    ("FHD", ImageInput((224, 224), interpolation="opencv_area"), 3.2),
    ("4K", ImageInput((640, 640), resize="letterbox"), 13.1),
)
METHODS = {"opencv_linear": cv2.INTER_LINEAR, "opencv_area": cv2.INTER_AREA}


def by_opencv(pixels: Pixels, spec: ImageInput) -> Pixels:
    """Resize, letterbox if wanted, and split the channels."""
    height, width = pixels.shape[:2]
    rows, columns = spec.size
    if spec.resize == "letterbox":
        scale = min(rows / height, columns / width)
        rows, columns = round(height * scale), round(width * scale)
    resized = cv2.resize(pixels, (columns, rows), interpolation=METHODS[spec.interpolation])
    down, across = spec.size[0] - rows, spec.size[1] - columns
    if down or across:
        edges = down // 2, down - down // 2, across // 2, across - across // 2
        resized = cv2.copyMakeBorder(resized, *edges, cv2.BORDER_CONSTANT, value=(114,) * 3)
    return resized


def furiosa(path: str, spec: ImageInput) -> Pixels:
    """What furiosa-models 0.10 does."""
    decoded: Pixels = cv2.imread(path)
    pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return np.stack([by_opencv(pixels, spec).transpose([2, 0, 1])], axis=0)


def opencv(path: str, spec: ImageInput) -> Pixels:
    """The best that OpenCV offers: colors turned after the resize, channels split by blob."""
    return cv2.dnn.blobFromImage(by_opencv(cv2.imread(path), spec), swapRB=True, ddepth=cv2.CV_8U)


def ours(path: str, spec: ImageInput, *, draft: bool = False) -> Pixels:
    """What `Model.preprocess` does."""
    image = read_image(path, draft=spec.resized if draft else None, reuse_buffer=True)
    return prepare(image.pixels, spec, size=image.drafted_from)[0]


def turbo(path: str, spec: ImageInput, factor: int = 1) -> Pixels:
    """The fastest decoder with a wheel, then OpenCV; `factor` is that of its drafts."""
    with open(path, "rb") as file:  # noqa: PTH123 - as fast as it gets
        data = file.read()
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    least = {"min_height": -(-height // factor), "min_width": -(-width // factor)}
    pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", **least)
    return np.ascontiguousarray(by_opencv(pixels, spec).transpose(2, 0, 1))


def pillow(path: str, spec: ImageInput) -> Pixels:
    """Pillow alone."""
    with Image.open(path) as image:
        height, width = spec.size
        resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def from_file(size: str, spec: ImageInput, floor: float) -> common.Row:
    """File to tensor."""
    path = str(scenes.photo(size))
    width, height = scenes.SIZES[size]
    factor = reduction_factor(height, width, spec.resized(height, width))
    contenders: dict[str, common.Work] = {
        "ours": lambda: ours(path, spec),
        "furiosa 0.10 (OpenCV)": lambda: furiosa(path, spec),
        "OpenCV": lambda: opencv(path, spec),
        "simplejpeg + OpenCV": lambda: turbo(path, spec),
    }
    if factor > 1:
        contenders["ours, draft"] = lambda: ours(path, spec, draft=True)
        contenders["simplejpeg draft + OpenCV"] = lambda: turbo(path, spec, factor)
    if spec.resize == "stretch":
        contenders["Pillow"] = lambda: pillow(path, spec)
    case = f"{size} -> {spec.size[0]} {spec.resize} {spec.interpolation}"
    return common.Row(case, common.interleaved(contenders), floor * 1e-3)


def from_pixels(size: str, spec: ImageInput) -> common.Row:
    """Decoded pixels to tensor."""
    pixels = read_image(scenes.photo(size)).pixels
    out = np.empty((3, *spec.size), np.uint8)
    contenders: dict[str, common.Work] = {
        "ours": lambda: prepare(pixels, spec, out=out),
        "OpenCV resize alone": lambda: by_opencv(pixels, spec),
        "OpenCV, channels split": lambda: cv2.dnn.blobFromImage(
            by_opencv(pixels, spec), ddepth=cv2.CV_8U
        ),
    }
    case = f"{size} -> {spec.size[0]} {spec.resize} {spec.interpolation}"
    return common.Row(case, common.interleaved(contenders))


def main() -> None:
    """Measure and report."""
    cv2.setNumThreads(1)
    rows = [from_pixels(size, spec) for size, spec, _ in PIPELINES]
    common.report("resize", "Preprocessing, decoded pixels to tensor, one thread", rows)
    rows = [from_file(*pipeline) for pipeline in PIPELINES]
    common.report("preprocess", "Preprocessing, JPEG file to tensor, one thread", rows)


main()
