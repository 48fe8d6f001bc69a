"""Start-up, milliseconds over bare Python: each import or command in processes of its own.

Bytecode is compiled before, as `pip install` compiles it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import common

common.enter()

import scenes

ROUNDS = 7
FIRST = (
    "from furiosa_models.vision import SSDMobileNet;"
    "SSDMobileNet(weights='random').predict({photo!r}, device='cpu', score_threshold=0.9)"
)
CASES = {
    "bare Python": "pass",
    "import furiosa_models": "import furiosa_models",
    "furiosa-models list": (
        "import sys; sys.argv = ['furiosa-models', 'list'];"
        "from furiosa_models.cli import main; main()"
    ),
    "first detections of SSDMobileNet": FIRST,
    "import numpy": "import numpy",
    "import onnxruntime": "import onnxruntime",
    "import cv2": "import cv2",
    "import pydantic": "import pydantic; pydantic.BaseModel",
    "import requests": "import requests",
}
TARGETS = {
    "import furiosa_models": 5e-3,
    "furiosa-models list": 120e-3,
    "first detections of SSDMobileNet": 350e-3,
}


def process(code: str) -> float:
    """Seconds from the start of a Python process to its end."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def main() -> None:
    """Measure and report."""
    photo = str(scenes.photo("VGA"))
    codes = {name: code.format(photo=photo) for name, code in CASES.items()}
    best = dict.fromkeys(codes, float("inf"))
    for _ in range(ROUNDS + 1):  # the first round warms the caches
        for name, code in codes.items():
            best[name] = min(best[name], process(code))
    bare = best.pop("bare Python")
    rows = [
        common.Row(name, {"over bare Python": seconds - bare}, notes={"target": TARGETS.get(name)})
        for name, seconds in best.items()
    ]
    common.report("startup", f"Start-up over bare Python ({bare * 1e3:.0f} ms)", rows)


main()
