"""Golden images of drawn results.

`python -m tests.golden.drawing` draws them again into `tests/golden/pictures/`. Check each one
before a commit: labels must not overlap or leave the image, and all text must be readable.

Images are compared by pixels, with a tolerance for different versions of Pillow and FreeType.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from furiosa_models.tasks import Classification, Detections, Poses
from furiosa_models.tasks.base import Result

__all__ = ["CASES", "FOLDER", "Difference", "difference", "draw", "golden"]

Pixels: TypeAlias = npt.NDArray[np.uint8]

FOLDER = Path(__file__).parent / "pictures"

MOST_MEAN = 2.0
"""Maximum mean difference of gray levels; other rasterizations of glyphs are well below."""

CLEAR = 48
"""Minimum difference of a clearly different pixel; other anti-aliasing is below."""

MOST_CLEAR = 0.01
"""Maximum fraction of clearly different pixels; a label covers more in images of this size."""

TILE = 12
MOST_TILE = 14.0
"""Size of a tile in pixels, and the maximum difference of its mean.

Differences in anti-aliasing average out in a tile; a missing limb of a few pixels does not.
"""


class Difference(NamedTuple):
    """The difference of two images of the same size.

    Attributes:
        mean: Mean difference of the levels.
        clear: Fraction of clearly different pixels.
        tile: Maximum difference of the means of a tile.
    """

    mean: float
    clear: float
    tile: float

    @property
    def is_small(self) -> bool:
        """Whether different versions of the libraries explain it."""
        return self.mean < MOST_MEAN and self.clear < MOST_CLEAR and self.tile < MOST_TILE


def difference(one: Pixels, other: Pixels) -> Difference:
    """Return the difference of two images.

    Raises:
        ValueError: Their sizes differ.
    """
    if one.shape != other.shape:
        msg = f"expected pictures of one size, got {one.shape} and {other.shape}"
        raise ValueError(msg)
    signed = one.astype(np.float64) - other
    levels = np.abs(signed)
    rows, columns = (range(0, length, TILE) for length in one.shape[:2])
    tiles = np.add.reduceat(np.add.reduceat(signed, rows), columns, axis=1) / TILE**2
    return Difference(
        float(levels.mean()),
        float((levels.max(axis=2) > CLEAR).mean()),
        float(np.abs(tiles).max()),
    )


def photo(width: int, height: int) -> Pixels:
    """Draw a landscape of smooth colors, which compresses well."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = 90 + 60 * y // height
    pixels[..., 1] = 120 + 40 * y // height
    pixels[..., 2] = 190 - 90 * y // height
    pixels[y > height * 0.6 + height * 0.1 * np.sin(x * 6.0 / width)] = (70, 95, 60)
    sun = (x - 0.8 * width) ** 2 + (y - 0.2 * height) ** 2 < (0.1 * min(width, height)) ** 2
    pixels[sun] = (240, 220, 150)
    return pixels


def detections(rows: list[tuple[str, float, tuple[float, float, float, float]]]) -> Detections:
    """Make detections of names, scores and boxes."""
    names = list(dict.fromkeys(name for name, _, _ in rows))
    return Detections(
        np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([names.index(name) for name, _, _ in rows]),
        names,
    )


def classes(*rows: tuple[str, float]) -> Classification:
    """Make a classification of names and scores."""
    scores = np.array([score for _, score in rows], np.float32)
    return Classification(np.arange(len(rows)), scores, [name for name, _ in rows])


_STANDING = (
    (0.50, 0.08), (0.53, 0.06), (0.47, 0.06), (0.57, 0.08), (0.43, 0.08), (0.65, 0.22),
    (0.35, 0.22), (0.75, 0.38), (0.25, 0.38), (0.85, 0.52), (0.15, 0.52), (0.60, 0.55),
    (0.40, 0.55), (0.62, 0.76), (0.38, 0.76), (0.64, 0.96), (0.36, 0.96),
)  # fmt: skip
"""Keypoints of a standing person, relative to the box."""


def people(*boxes: tuple[float, float, float, float]) -> Poses:
    """Make standing people in boxes; the last keypoints of each are below the threshold."""
    found = np.array(boxes, np.float32)
    points = np.empty((len(boxes), 17, 3), np.float32)
    size = (found[:, 2:] - found[:, :2])[:, None]
    points[..., :2] = found[:, None, :2] + size * np.array(_STANDING, np.float32)
    points[..., 2] = 0.9
    points[1::2, 13:, 2] = 0.2
    scores = np.linspace(0.95, 0.4, len(boxes), dtype=np.float32)
    return Poses(found, scores, points)


def _crowded() -> Detections:
    boxes = [(60.0 + 9 * i, 70.0 + 6 * i, 190.0 + 9 * i, 170.0 + 6 * i) for i in range(8)]
    words = ("person", "bicycle", "car", "dog", "bench", "umbrella", "traffic light", "kite")
    return detections(
        [(word, 0.95 - i / 20, box) for i, (word, box) in enumerate(zip(words, boxes, strict=True))]
    )


def _many() -> Detections:
    cells = [(x, y) for y in range(6) for x in range(4)]
    return detections(
        [
            (f"class {i}", 0.99 - i / 50, (8.0 + 80 * x, 18.0 + 37 * y, 74.0 + 80 * x, 36 + 37 * y))
            for i, (x, y) in enumerate(cells)
        ]
    )


class Case(NamedTuple):
    """A golden image.

    Attributes:
        size: Width and height of the photo.
        result: The result to draw.
        as_given: Converts the photo to the form that the caller passes.
    """

    size: tuple[int, int]
    result: Callable[[], Result]
    as_given: Callable[[Pixels], Pixels | Image.Image] = lambda pixels: pixels


CASES = MappingProxyType(
    {
        "classes": Case(
            (320, 240),
            lambda: classes(
                ("tabby, tabby cat", 0.71),
                ("tiger cat", 0.15),
                ("Egyptian cat", 0.08),
                ("lynx, catamount", 0.03),
                ("remote control, remote", 0.004),
            ),
        ),
        "classes_unscored": Case((320, 240), lambda: classes(("golden retriever", float("nan")))),
        "classes_small_photo": Case(
            (120, 60),
            lambda: classes(
                ("hen-of-the-woods, hen of the woods, Polyporus frondosus", 0.5),
                *((f"class {i}", 0.1) for i in range(5)),
            ),
        ),
        "boxes": Case(
            (320, 240),
            lambda: detections(
                [
                    ("person", 0.92, (40, 60, 120, 210)),
                    ("dog", 0.81, (150, 130, 250, 220)),
                    ("dog", 0.55, (255, 150, 310, 215)),
                ]
            ),
        ),
        "boxes_overlapping": Case((320, 240), _crowded),
        "boxes_at_edges": Case(
            (320, 240),
            lambda: detections(
                [
                    ("upper left", 0.95, (0, 0, 60, 40)),
                    ("upper right", 0.9, (270, 0, 320, 50)),
                    ("lower left", 0.85, (0, 200, 50, 240)),
                    ("lower right", 0.8, (280, 190, 320, 240)),
                    ("left", 0.75, (0, 100, 20, 140)),
                    ("right", 0.7, (305, 100, 320, 140)),
                    ("all", 0.65, (0, 0, 320, 240)),
                ]
            ),
        ),
        "boxes_leaving_photo": Case(
            (320, 240),
            lambda: detections(
                [
                    ("bus", 0.9, (-60, 50, 130, 180)),
                    ("train", 0.8, (200, -90, 900, 110)),
                    ("boat", 0.7, (160, 170, 280, 1e9)),
                    ("outside", 0.6, (400, 300, 500, 400)),
                ]
            ),
        ),
        "boxes_tiny": Case(
            (320, 240),
            lambda: detections(
                [
                    ("bird", 0.9, (50, 60, 54, 63)),
                    ("bird", 0.8, (160, 120, 161, 121)),
                    ("kite", 0.7, (250, 60, 250, 60)),
                    ("ball", 0.6, (318, 238, 320, 240)),
                    ("fly", 0.5, (0, 0, 2, 2)),
                ]
            ),
        ),
        "boxes_many_classes": Case((320, 240), _many),
        "boxes_long_names": Case(
            (320, 240),
            lambda: detections(
                [
                    ("Cardigan, Cardigan Welsh corgi", 0.9, (180, 60, 300, 140)),
                    (
                        "hen-of-the-woods, hen of the woods, Polyporus frondosus, Grifola frondosa",
                        0.8,
                        (40, 100, 160, 200),
                    ),
                    ("a name\nof two lines", 0.7, (200, 180, 280, 230)),
                ]
            ),
        ),
        "boxes_gray_photo": Case(
            (200, 150),
            lambda: detections([("cat", 0.9, (40, 50, 150, 130))]),
            lambda pixels: pixels[:, :, 1],
        ),
        "boxes_transparent_photo": Case(
            (200, 150),
            lambda: detections([("cat", 0.9, (40, 50, 150, 130))]),
            lambda pixels: Image.fromarray(np.dstack((pixels, pixels[:, :, :1]))),
        ),
        "boxes_small_photo": Case(
            (80, 60),
            lambda: detections([("cat", 0.9, (10, 25, 60, 55)), ("dog", 0.6, (0, 0, 9, 9))]),
        ),
        "boxes_large_photo": Case(
            (1200, 900),
            lambda: detections(
                [("person", 0.92, (150, 200, 500, 800)), ("dog", 0.81, (600, 500, 1000, 820))]
            ),
        ),
        "boxes_none": Case((160, 120), lambda: detections([])),
        "people": Case(
            (320, 240),
            lambda: people((20, 40, 100, 220), (90, 30, 180, 230), (200, 80, 260, 200)),
        ),
        "people_leaving_photo": Case(
            (320, 240),
            lambda: people((-40, 60, 60, 300), (250, -60, 350, 180), (100, 50, 200, 1e6)),
        ),
    }
)


def draw(name: str, result: Result | None = None) -> Pixels:
    """Draw the result of a case, or another result, on its photo."""
    case = CASES[name]
    given = case.as_given(photo(*case.size))
    picture = (case.result() if result is None else result).plot(given)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def golden(name: str) -> Pixels:
    """Return the committed image."""
    with Image.open(FOLDER / f"{name}.png") as picture:
        return np.asarray(picture)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in CASES:
        Image.fromarray(draw(each)).save(FOLDER / f"{each}.png", optimize=True)
