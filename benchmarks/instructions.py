"""Instructions of each Rust kernel, counted by valgrind's callgrind: a figure that repeats.

A kernel is called once and eleven times in processes of their own; a tenth of the difference is
one call's, Python's share (some ten thousand) included. Valgrind shows a processor with AVX2 and
without AVX-512. Names of kernels may be given; the default is all of them. The first counts that
were ever kept stay in the results, as those before.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import common

common.enter()

import numpy as np
import scenes

from furiosa_models.heads.classification import rank_classes
from furiosa_models.heads.ssd import decode_ssd
from furiosa_models.heads.yolo import decode_yolov5
from furiosa_models.images.preprocess import normalize, prepare
from furiosa_models.ops.anchors import multiple_grid_anchors, yolo_p5_anchors
from furiosa_models.spec import ImageInput

CALLS = 10


def _prepare(size: str, spec: ImageInput) -> common.Work:
    width, height = scenes.SIZES[size]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    out = np.empty((3, *spec.size), np.uint8)
    return partial(prepare, pixels, spec, out=out)


def _normalize() -> common.Work:
    spec = ImageInput((300, 300), mean=(127.5,) * 3, std=(127.5,) * 3)
    return partial(normalize, np.zeros((1, 3, 300, 300), np.uint8), spec)


def _ssd() -> common.Work:
    maps = scenes.mobilenet(-4.2)
    grid = multiple_grid_anchors(tuple((side, side) for side, _ in scenes.MOBILENET_LEVELS))
    return partial(decode_ssd, maps[0::2], maps[1::2], grid, score_threshold=0.3)


def _yolov5() -> common.Work:
    return partial(decode_yolov5, scenes.yolov5(80, 58, 11), yolo_p5_anchors(), scenes.YOLO_STRIDES)


def _classify() -> common.Work:
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
    """Instructions of a whole process with so many calls."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    script = [sys.executable, __file__, "--call", kernel, str(calls)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *script], capture_output=True, text=True, check=True, env=environment
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        msg = f"callgrind counted nothing: {done.stderr[-500:]}"
        raise RuntimeError(msg)
    return int(found[1])


def main() -> None:
    """Count and keep."""
    if sys.argv[1:2] == ["--call"]:
        work = KERNELS[sys.argv[2]]()
        for _ in range(int(sys.argv[3])):
            work()
        return
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not there: install it (on Debian: apt-get install valgrind)")
    counts = {}
    for kernel in sys.argv[1:] or KERNELS:
        counts[kernel] = round((count(kernel, CALLS + 1) - count(kernel, 1)) / CALLS)
        print(f"{kernel:24} {counts[kernel]:>12,} instructions", flush=True)
    path = common.RESULTS / "instructions.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    before = known.get("before") or known.get("instructions", {})
    document = {"machine": common.machine(), "before": before, "instructions": counts}
    path.write_text(json.dumps(document, indent=2) + "\n")


main()
