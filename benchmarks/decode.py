"""Decoding of JPEG files to pixels with decoders from PyPI, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import kornia_rs
import numpy as np
import photos
import simplejpeg
from common import Contender, Row, Table, interleave, run, turns_of
from PIL import Image

from furiosa_models.images.read import read_image
from furiosa_models.spec import ImageInput

SPEC = ImageInput((300, 300))
"""Input specification for which drafts are decoded; drafts are not smaller than its size."""

NEW, AGAIN, DRAFT = "new memory", "memory used again", "draft"
CONTENDERS = (
    Contender("ours", "ours", NEW, "libjpeg-turbo through simplejpeg, with all checks"),
    Contender("simplejpeg", "peer", NEW),
    Contender("OpenCV", "peer", NEW, "`imread` to RGB"),
    Contender("kornia-rs, turbo", "peer", NEW, "libjpeg-turbo"),
    Contender("kornia-rs, zune", "peer", NEW, "a decoder written in Rust"),
    Contender("Pillow", "peer", NEW),
    Contender("ours, again", "ours", AGAIN, "as `predict` reads photos"),
    Contender("simplejpeg, buffer", "peer", AGAIN, "`buffer=`"),
    Contender("OpenCV, dst", "peer", AGAIN, "`imread` into an array"),
    Contender(
        "ours, draft", "ours", DRAFT, "decoded at 1/2, 1/4 or 1/8 size for an input of 300 x 300"
    ),
    Contender("simplejpeg, draft", "peer", DRAFT, "`min_width=`, `buffer=`"),
    Contender("OpenCV, reduced", "peer", DRAFT, "`IMREAD_REDUCED_COLOR`"),
    Contender("Pillow, draft", "peer", DRAFT),
)


def pillow(path: str, draft: tuple[int, int] | None = None) -> Any:
    """Decode a file with Pillow, optionally reduced to a draft of about (width, height)."""
    with Image.open(path) as image:
        if draft is not None:
            image.draft("RGB", draft)
        return np.asarray(image.convert("RGB"))


def row(name: str) -> Row:
    """Measure all decoders on a group of photos; figures are per photo."""
    paths = photos.group(name)
    buffers = {path: np.empty_like(photos.pixels(path)) for path in paths}
    factors = {
        path: photos.draft_factor(b, SPEC.resized(*b.shape[:2])) for path, b in buffers.items()
    }
    min_sizes = {
        path: (-(-b.shape[0] // factors[path]), -(-b.shape[1] // factors[path]))
        for path, b in buffers.items()
    }
    turbo = kornia_rs.io.ImageDecoder()

    def simplejpeg_draft(path: str) -> Any:
        height, width = min_sizes[path]
        buffer = buffers[path].reshape(-1)
        return simplejpeg.decode_jpeg(
            photos.read(path), "RGB", min_height=height, min_width=width, buffer=buffer
        )

    decoders: dict[str, Callable[[str], Any]] = {
        "ours": read_image,
        "simplejpeg": lambda path: simplejpeg.decode_jpeg(photos.read(path), "RGB"),
        "OpenCV": lambda path: cv2.imread(path, cv2.IMREAD_COLOR_RGB),
        "kornia-rs, turbo": lambda path: turbo.decode(photos.read(path)),
        "kornia-rs, zune": lambda path: kornia_rs.io.decode_image_jpeg(photos.read(path)),
        "Pillow": pillow,
        "ours, again": lambda path: read_image(path, reuse_buffer=True),
        "simplejpeg, buffer": lambda path: simplejpeg.decode_jpeg(
            photos.read(path), "RGB", buffer=buffers[path]
        ),
        "OpenCV, dst": lambda path: cv2.imread(path, buffers[path], cv2.IMREAD_COLOR_RGB),
    }
    if max(factors.values()) > 1:
        decoders |= {
            "ours, draft": lambda path: read_image(path, draft=SPEC.resized, reuse_buffer=True),
            "simplejpeg, draft": simplejpeg_draft,
            "OpenCV, reduced": lambda path: cv2.imread(path, photos.REDUCED[factors[path]]),
            "Pillow, draft": lambda path: pillow(path, min_sizes[path][::-1]),
        }
    works = {decoder: photos.each(decode, paths) for decoder, decode in decoders.items()}
    samples = interleave(turns_of(works, items=len(paths)), seconds=0.8)
    return Row(f"{name} ({len(paths)} photos)" if len(paths) > 1 else name, samples)


def measure() -> Iterator[Table]:
    """Measure every group of photos."""
    cv2.setNumThreads(1)
    yield Table(
        "decode",
        "Decoding JPEGs",
        "Time from a JPEG file to RGB pixels, on one thread. The groups differ in the work: "
        "decoding into new memory, into reused memory (which saves page faults), and to a "
        "reduced size.",
        CONTENDERS,
        [row(name) for name in photos.GROUPS],
    )


if __name__ == "__main__":
    run(measure)
