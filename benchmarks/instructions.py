"""Instruction counts of the Rust kernels by valgrind's callgrind, which are reproducible.

One process calls a kernel once, and another process calls it eleven times. A tenth of the
difference is the count of one call, including about ten thousand instructions of Python. Valgrind
emulates a processor with AVX2 and without AVX-512.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import scenes
from common import Contender, Row, Table, Work, run

from furiosa_models.heads.classification import rank_classes
from furiosa_models.heads.ssd import decode_ssd
from furiosa_models.heads.yolo import decode_yolov5
from furiosa_models.images.preprocess import normalize, prepare
from furiosa_models.ops.anchors import multiple_grid_anchors, yolo_p5_anchors
from furiosa_models.runtime.machine import available_cpus
from furiosa_models.spec import ImageInput

CALLS = 10
SIZES = {"VGA": (640, 480), "FHD": (1920, 1080)}
OURS = "ours"


def _prepare(size: str, spec: ImageInput) -> Work:
    width, height = SIZES[size]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    out = np.empty((3, *spec.size), np.uint8)
    return partial(prepare, pixels, spec, out=out)


def _normalize() -> Work:
    spec = ImageInput((300, 300), mean=(127.5,) * 3, std=(127.5,) * 3)
    return partial(normalize, np.zeros((1, 3, 300, 300), np.uint8), spec)


def _ssd() -> Work:
    maps = scenes.mobilenet(-4.2)
    grid = multiple_grid_anchors(tuple((side, side) for side, _ in scenes.MOBILENET_LEVELS))
    return partial(decode_ssd, maps[0::2], maps[1::2], grid, score_threshold=0.3)


def _yolov5() -> Work:
    return partial(decode_yolov5, scenes.yolov5(80, 58, 11), yolo_p5_anchors(), scenes.YOLO_STRIDES)


def _classify() -> Work:
    logits = np.random.default_rng(0).normal(0, 1, (1, 1000)).astype(np.float32)
    return partial(rank_classes, logits)


KERNELS: dict[str, Callable[[], Callable[[], Any]]] = {
    "linear VGA -> 300": lambda: _prepare("VGA", ImageInput((300, 300))),
    "letterbox FHD -> 640": lambda: _prepare("FHD", ImageInput((640, 640), resize="letterbox")),
    "area FHD -> 224": lambda: _prepare("FHD", ImageInput((224, 224), interpolation="opencv_area")),
    "bicubic VGA -> 224": lambda: _prepare(
        "VGA", ImageInput((224, 224), interpolation="pillow_bicubic")
    ),
    "normalize 300": _normalize,
    "SSDMobileNet": _ssd,
    "YOLOv5 80-class": _yolov5,
    "classification": _classify,
}


def count(kernel: str, calls: int) -> int:
    """Return the number of instructions of a process that calls a kernel `calls` times.

    Raises:
        RuntimeError: The output of callgrind has no count.
    """
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    script = [sys.executable, __file__, "--call", kernel, str(calls)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.run(
        [*command, *script], capture_output=True, text=True, check=True, env=environment
    )
    found = re.search(r"Collected : (\d+)", process.stderr)
    if found is None:
        msg = f"the output of callgrind has no count: {process.stderr[-500:]}"
        raise RuntimeError(msg)
    return int(found[1])


def of_one(kernel: str) -> float:
    """Return the number of instructions of one call, in millions."""
    return (count(kernel, CALLS + 1) - count(kernel, 1)) / CALLS / 1e6


def measure() -> Iterator[Table]:
    """Count the instructions of all kernels, in parallel because no time is measured."""
    with ThreadPoolExecutor(available_cpus()) as pool:
        counts = list(pool.map(of_one, KERNELS))
    yield Table(
        "instructions",
        "Instructions",
        "Number of instructions of one call of a Rust kernel, with AVX2. Counts are reproducible, "
        "unlike times.",
        (Contender(OURS, "ours"),),
        [Row(kernel, {OURS: [n]}) for kernel, n in zip(KERNELS, counts, strict=True)],
        unit="million instructions",
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--call"]:
        work = KERNELS[sys.argv[2]]()
        for _ in range(int(sys.argv[3])):
            work()
    else:
        run(measure)
