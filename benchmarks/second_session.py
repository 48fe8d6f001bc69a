"""A second session of one program: what it costs in memory and time, and what it gains.

A model keeps one session for single photos, with all threads on one inference, and opens another
one for many photos, with a share of the CPUs for each of the threads that run it. Each model is
measured in a process of its own, warm: its compiled program is in the cache, whose weights both
sessions map. Weights are random. Names of models may be given.

    python benchmarks/second_session.py ResNet50 YOLOv5l
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

NETWORKS = ("EfficientNetLite0", "SSDMobileNet", "ResNet50", "YOLOv5s", "SSDResNet34", "YOLOv5l")
SECONDS = 3.0
COLUMNS = (
    ("program MB", "program"),
    ("first: ms", "first_ms"),
    ("+MB", "first_mb"),
    ("anonymous", "first_anonymous"),
    ("second: ms", "second_ms"),
    ("+MB", "second_mb"),
    ("anonymous", "second_anonymous"),
    ("left when closed", "left_mb"),
    ("photos/s on first", "shared_rate"),
    ("on second", "own_rate"),
)


def main() -> None:
    """Measure and print a table."""
    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    print("  ".join([f"{'':18}", *(title for title, _ in COLUMNS)]))
    for name in sys.argv[1:] or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
            process("warm", name)
            found = process("measure", name)
        cells = [f"{found[key]:{len(title)}.1f}" for title, key in COLUMNS]
        print("  ".join([f"{name:18}", *cells]), flush=True)


def process(step: str, name: str) -> dict[str, float]:
    """Return what a process of its own prints."""
    command = [sys.executable, __file__, "--step", step, name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def measure(step: str, name: str) -> None:
    """Open one session and then another one; print what each costs."""
    import numpy as np

    from furiosa_models.catalog import get_model
    from furiosa_models.runtime.machine import cpus_per_worker
    from furiosa_models.runtime.sync import create_runner

    model = get_model(name, weights="random")
    image = np.zeros((1, 3, *model.input.size), np.uint8)
    with create_runner(model, device="cpu") as runner:  # imports, allocations, the page cache
        runner.run(image)
    if step == "warm":
        print(json.dumps({}))
        return

    def opened(**options: Any) -> tuple[Any, float, float, float]:
        """A session that has run, its milliseconds of loading, and what memory it added."""
        before, start = memory(), time.perf_counter()
        runner = create_runner(model, device="cpu", **options)
        took = 1e3 * (time.perf_counter() - start)
        for _ in range(2):
            runner.run(image)
        after = memory()
        return runner, took, after[0] - before[0], after[1] - before[1]

    first, *first_costs = opened()
    before = memory()[0]
    second, *second_costs = opened(worker_num=cpus_per_worker())
    second.close()
    left = memory()[0] - before
    second, *_ = opened(worker_num=cpus_per_worker())
    figures = {
        "program": len(model.model_source(precision="fp32")) / 1e6,
        **dict(zip(("first_ms", "first_mb", "first_anonymous"), first_costs, strict=True)),
        **dict(zip(("second_ms", "second_mb", "second_anonymous"), second_costs, strict=True)),
        "left_mb": left,
        "shared_rate": rate(first, image),
        "own_rate": rate(second, image),
    }
    print(json.dumps(figures))


def rate(runner: Any, image: Any) -> float:
    """Return the inferences a second of as many threads as work on many photos."""
    from furiosa_models.runtime.machine import workers

    counts = [0] * workers()
    end = time.perf_counter() + SECONDS

    def repeat(number: int) -> None:
        while time.perf_counter() < end:
            runner.run(image)
            counts[number] += 1

    working = [threading.Thread(target=repeat, args=(number,)) for number in range(len(counts))]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    return sum(counts) / SECONDS


def memory() -> tuple[float, float]:
    """Return megabytes of memory in use, and those of them that are not a file's; 0 off Linux.

    What is mapped twice counts once.
    """
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return 0.0, 0.0
    lines = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
    proportional, anonymous = (int(lines[name].split()[0]) for name in ("Pss", "Anonymous"))
    return proportional * 1024 / 1e6, anonymous * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        measure(*sys.argv[2:])
    else:
        main()
