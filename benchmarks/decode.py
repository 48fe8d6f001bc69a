"""JPEG decoders that pip has, side by side: encoded bytes to RGB pixels, one thread."""

from __future__ import annotations

import io

import common

common.enter()

import cv2
import kornia_rs
import numpy as np
import scenes
import simplejpeg
from PIL import Image

from furiosa_models.images.read import read_image
from furiosa_models.spec import ImageInput

SPEC = ImageInput((300, 300))


def pillow(data: bytes) -> object:
    """Pillow, with its own settings."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def zune(data: bytes) -> object:
    """The fastest decoder that is written in Rust."""
    return kornia_rs.io.decode_image_jpeg(data)


def row(size: str) -> common.Row:
    """All of them on one photo."""
    data = scenes.photo(size).read_bytes()
    buffer = np.frombuffer(data, np.uint8)
    contenders: dict[str, common.Work] = {
        "ours (libjpeg-turbo by simplejpeg)": lambda: read_image(data),
        "simplejpeg alone": lambda: simplejpeg.decode_jpeg(data),
        "OpenCV": lambda: cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB),
        "zune-jpeg by kornia-rs": lambda: zune(data),
        "Pillow": lambda: pillow(data),
        "ours, draft for 300x300": lambda: read_image(data, draft=SPEC.resized),
    }
    return common.Row(size, common.interleaved(contenders))


def main() -> None:
    """Measure and report."""
    cv2.setNumThreads(1)
    common.report("decode", "JPEG to pixels, one thread", [row(size) for size in scenes.SIZES])


main()
