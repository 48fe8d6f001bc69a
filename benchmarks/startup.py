"""Start-up time of imports and commands, minus that of bare Python.

Each run is a new process. Bytecode is compiled before, as `pip install` does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import photos
from common import Contender, Goal, Row, Table, interleave, run

BARE, OURS, OTHERS = "bare Python", "ours", "a library"
PREDICT = (
    "from furiosa_models.vision import SSDMobileNet;"
    "SSDMobileNet(weights='random').predict({photo!r}, device='cpu', score_threshold=0.9)"
)
CASES = {
    BARE: "pass",
    "import furiosa_models": "import furiosa_models",
    "furiosa-models list": (
        "import sys; sys.argv = ['furiosa-models', 'list'];"
        "from furiosa_models.cli import main; main()"
    ),
    "first detections of SSDMobileNet": PREDICT,
    "import numpy": "import numpy",
    "import onnxruntime": "import onnxruntime",
    "import cv2": "import cv2",
    "import pydantic": "import pydantic; pydantic.BaseModel",
    "import requests": "import requests",
    "import openvino": "import openvino",
    "import ultralytics": "from ultralytics import YOLO",
    "import rtmlib": "import rtmlib",
}
GOALS = {
    "import furiosa_models": 5e-3,
    "furiosa-models list": 120e-3,
    "first detections of SSDMobileNet": 350e-3,
}


def process(code: str) -> float:
    """Run code in a new Python process, and return the seconds from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure() -> Iterator[Table]:
    """Measure every case."""
    photo = photos.one("VGA")
    codes = {name: code.format(photo=photo) for name, code in CASES.items()}
    turns = {name: partial(process, code) for name, code in codes.items()}
    for turn in turns.values():
        turn()  # compiles bytecode
    samples = interleave(turns, seconds=0.0, least_rounds=9)
    bare = samples.pop(BARE)
    rows = []
    for name, seconds in samples.items():
        column = OURS if name in GOALS else OTHERS
        over = [whole - part for whole, part in zip(seconds, bare, strict=True)]
        goals = [
            Goal(f"{name} takes at most {1e3 * limit:g} ms", OURS, plus=limit)
            for case, limit in GOALS.items()
            if case == name
        ]
        rows.append(Row(name, {column: over}, goals))
    yield Table(
        "startup",
        "Start-up",
        "Time of a whole process, minus that of bare Python; bytecode and caches are warm.",
        (Contender(OURS, "ours"), Contender(OTHERS, "baseline")),
        rows,
    )


if __name__ == "__main__":
    run(measure)
