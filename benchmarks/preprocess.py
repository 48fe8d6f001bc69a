"""Preprocessing of JPEG files and of decoded pixels to a network's input, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import photos
import simplejpeg
from common import Contender, Goal, Row, Table, Work, interleave, run, turns_of
from PIL import Image

from furiosa_models import Model, get_model

Pixels: TypeAlias = Any

FULL, DRAFT = "whole", "draft"
FILE_CONTENDERS = (
    Contender("ours", "ours", FULL, "`preprocess(path)`"),
    Contender("furiosa 0.10", "peer", FULL, "OpenCV, used as in furiosa-models 0.10"),
    Contender("OpenCV", "peer", FULL, "`imread` into reused memory, resize, split of the channels"),
    Contender(
        "simplejpeg + OpenCV",
        "peer",
        FULL,
        "decoding into reused memory, resize, split of the channels",
    ),
    Contender("Pillow", "peer", FULL),
    Contender("ours, draft", "ours", DRAFT, "`preprocess(path, draft=True)`"),
    Contender("simplejpeg + OpenCV, draft", "peer", DRAFT),
    Contender("OpenCV, reduced", "peer", DRAFT, "`IMREAD_REDUCED_COLOR`"),
    Contender("Pillow, draft", "peer", DRAFT),
)
PIXELS_CONTENDERS = (
    Contender("ours", "ours", about="`preprocess(array)`"),
    Contender("OpenCV", "peer", about="resize into reused memory, split of the channels"),
    Contender("OpenCV, resize alone", "baseline", about="without splitting the channels"),
)
FILE_GOAL = Goal(
    "ours takes at most 1.15 times as long as simplejpeg with OpenCV",
    "ours",
    "simplejpeg + OpenCV",
    1.15,
)
PIXELS_GOAL = Goal(
    "ours takes no longer than OpenCV's resize alone", "ours", "OpenCV, resize alone"
)
METHODS = {
    "opencv_linear": (cv2.INTER_LINEAR, Image.Resampling.BILINEAR),
    "opencv_area": (cv2.INTER_AREA, Image.Resampling.BOX),
}


@dataclass(frozen=True)
class Pipeline:
    """A kind of preprocessing.

    Attributes:
        name: Name in the table.
        model: Model whose input specification is used.
    """

    name: str
    model: Model

    @property
    def letterbox(self) -> bool:
        """Whether the input is letterboxed, which keeps the aspect ratio."""
        return bool(self.model.input.resize == "letterbox")

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which a photo is resized."""
        rows, columns = self.model.input.size
        if self.letterbox:
            scale = min(rows / height, columns / width)
            return round(height * scale), round(width * scale)
        return rows, columns


class OpenCV:
    """Resizing and splitting of channels with OpenCV, into reused memory.

    Args:
        pipeline: Kind of preprocessing.
        height: Height of the photo.
        width: Width of the photo.
    """

    def __init__(self, pipeline: Pipeline, height: int, width: int) -> None:
        rows, columns = pipeline.model.input.size
        self._method = METHODS[pipeline.model.input.interpolation][0]
        self._size = pipeline.target(height, width)[::-1]
        down, across = rows - self._size[1], columns - self._size[0]
        place = (
            slice(down // 2, down // 2 + self._size[1]),
            slice(across // 2, across // 2 + self._size[0]),
        )
        self._resized = np.empty((*self._size[::-1], 3), np.uint8)
        self._out = np.full((3, rows, columns), 114, np.uint8)
        self._planes = [np.empty(self._size[::-1], np.uint8) for _ in range(3)]
        self._whole = not (down or across)
        self._place = place
        if self._whole:
            self._planes = list(self._out)

    def resize(self, pixels: Pixels) -> Pixels:
        """Resize pixels (height, width, 3), without splitting the channels."""
        return cv2.resize(pixels, self._size, self._resized, interpolation=self._method)

    def prepare(self, pixels: Pixels, *, bgr: bool = False) -> Pixels:
        """Resize pixels, and return the network's input (3, height, width)."""
        self.resize(pixels)
        cv2.split(self._resized, self._planes[::-1] if bgr else self._planes)
        if not self._whole:
            for out, plane in zip(self._out, self._planes, strict=True):
                out[self._place] = plane
        return self._out


def furiosa(path: str, pipeline: Pipeline) -> Pixels:
    """Preprocess a file like furiosa-models 0.10."""
    decoded: Any = cv2.imread(path)
    pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    rows, columns = pipeline.target(*pixels.shape[:2])
    method = METHODS[pipeline.model.input.interpolation][0]
    resized = cv2.resize(pixels, (columns, rows), interpolation=method)
    down, across = pipeline.model.input.size[0] - rows, pipeline.model.input.size[1] - columns
    if down or across:
        edges = down // 2, down - down // 2, across // 2, across - across // 2
        resized = cv2.copyMakeBorder(resized, *edges, cv2.BORDER_CONSTANT, value=(114,) * 3)
    return np.stack([resized.transpose([2, 0, 1])], axis=0)


def pillow(path: str, pipeline: Pipeline, *, draft: bool) -> Pixels:
    """Preprocess a file with Pillow alone."""
    with Image.open(path) as image:
        rows, columns = pipeline.target(image.height, image.width)
        if draft:
            image.draft("RGB", (columns, rows))
        method = METHODS[pipeline.model.input.interpolation][1]
        resized = image.convert("RGB").resize((columns, rows), method)
    if pipeline.letterbox:
        canvas = Image.new("RGB", pipeline.model.input.size[::-1], (114,) * 3)
        corner = (canvas.width - columns) // 2, (canvas.height - rows) // 2
        canvas.paste(resized, corner)
        resized = canvas
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def from_file(group: str, pipeline: Pipeline) -> Row:
    """Measure all contenders on the files of a group; figures are per photo."""
    paths = photos.group(group)
    buffers = {path: np.empty_like(photos.pixels(path)) for path in paths}
    tools = {path: OpenCV(pipeline, *b.shape[:2]) for path, b in buffers.items()}
    factors = {
        path: photos.draft_factor(b, pipeline.target(*b.shape[:2])) for path, b in buffers.items()
    }
    min_sizes = {
        path: {
            "min_height": -(-buffers[path].shape[0] // factor),
            "min_width": -(-buffers[path].shape[1] // factor),
        }
        for path, factor in factors.items()
    }

    def turbo(path: str, **options: int) -> Pixels:
        flat = buffers[path].reshape(-1)
        return tools[path].prepare(
            simplejpeg.decode_jpeg(photos.read(path), "RGB", buffer=flat, **options)
        )

    def opencv(path: str) -> Pixels:
        return tools[path].prepare(cv2.imread(path, buffers[path], cv2.IMREAD_COLOR_RGB))

    ways: dict[str, Callable[[str], Any]] = {
        "ours": pipeline.model.preprocess,
        "furiosa 0.10": lambda path: furiosa(path, pipeline),
        "OpenCV": opencv,
        "simplejpeg + OpenCV": turbo,
        "Pillow": lambda path: pillow(path, pipeline, draft=False),
    }
    if max(factors.values()) > 1:
        ways |= {
            "ours, draft": lambda path: pipeline.model.preprocess(path, draft=True),
            "simplejpeg + OpenCV, draft": lambda path: turbo(path, **min_sizes[path]),
            "OpenCV, reduced": lambda path: tools[path].prepare(
                cv2.imread(path, photos.REDUCED[factors[path]]), bgr=factors[path] > 1
            ),
            "Pillow, draft": lambda path: pillow(path, pipeline, draft=True),
        }
    works = {way: photos.each(make, paths) for way, make in ways.items()}
    samples = interleave(turns_of(works, items=len(paths)), seconds=0.8)
    return Row(f"{group} to {pipeline.name}", samples, [FILE_GOAL])


def from_pixels(group: str, pipeline: Pipeline) -> Row:
    """Measure the preprocessing of decoded photos of a group; figures are per photo."""
    paths = photos.group(group)
    arrays = [photos.pixels(path) for path in paths]
    pairs = [(OpenCV(pipeline, *array.shape[:2]), array) for array in arrays]
    works: dict[str, Work] = {
        "ours": lambda: [pipeline.model.preprocess(array, color="rgb") for array in arrays],
        "OpenCV": lambda: [tool.prepare(array) for tool, array in pairs],
        "OpenCV, resize alone": lambda: [tool.resize(array) for tool, array in pairs],
    }
    samples = interleave(turns_of(works, items=len(paths)), seconds=0.5)
    return Row(f"{group} to {pipeline.name}", samples, [PIXELS_GOAL])


def measure() -> Iterator[Table]:
    """Measure every pipeline."""
    cv2.setNumThreads(1)
    ssd = Pipeline("300 x 300, stretched", get_model("SSDMobileNet", weights="random"))
    yolo = Pipeline("640 x 640, letterboxed", get_model("YOLOv5s", weights="random"))
    area = {"size": (224, 224), "interpolation": "opencv_area"}
    small = Pipeline(
        "224 x 224, stretched by area", get_model("SSDMobileNet", weights="random", input=area)
    )
    cases = [
        ("VGA", ssd), ("HD", ssd), ("FHD", ssd), ("HD", yolo), ("FHD", yolo), ("FHD", small),
        ("15 MP", yolo),
    ]  # fmt: skip
    yield Table(
        "preprocess",
        "Preprocessing",
        "Time from a JPEG file to the network's input, on one thread. Drafts are decoded at a "
        "fraction of the photo's size, but not smaller than the size to which they are resized.",
        FILE_CONTENDERS,
        [from_file(*case) for case in cases],
    )
    yield Table(
        "resize",
        "Resizing",
        "Time from decoded pixels to the network's input, on one thread.",
        PIXELS_CONTENDERS,
        [from_pixels(*case) for case in cases],
    )


if __name__ == "__main__":
    run(measure)
