"""Cost (memory, loading time) and benefit (throughput) of a second session of a program.

A model has one session for single photos, where all threads work on one inference. For many photos
it opens a second session, where several threads run inferences in parallel, each with a share of
the CPUs. Each model is measured in a separate process with a warm cache: both sessions map the
weights of the same compiled program.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import QUICK, Contender, Row, Table, answer, once, run, samples_of

NETWORKS = ("EfficientNetLite0", "SSDMobileNet", "ResNet50", "YOLOv5s", "SSDResNet34", "YOLOv5l")
SECONDS = 0.5 if QUICK else 2.0
ROUNDS = 1 if QUICK else 3
FIRST, SECOND, LEFT, FILE = "first session", "second session", "left when closed", "program"


def measure() -> Iterator[Table]:
    """Measure every network."""
    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    figures: dict[str, list[dict[str, dict[str, float]]]] = {}
    for name in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
            once("warm", name)
            figures[name] = [once("contend", name) for _ in range(ROUNDS)]

    def rows(figure: str) -> list[Row]:
        return [
            Row(name, samples_of(found[figure] for found in rounds))
            for name, rounds in figures.items()
        ]

    sessions = Contender(FIRST, "ours"), Contender(SECOND, "ours")
    yield Table(
        "second_session",
        "Two sessions: throughput",
        "Inferences per second of one thread per CPU. All of them use the first session, which "
        "runs one inference on all threads, or a second session, which runs each inference on one "
        "thread.",
        sessions,
        rows("rate"),
        unit="inferences/s",
        better="more",
    )
    yield Table(
        "second_session_load",
        "Two sessions: loading",
        "Time until each session is ready; the first one is open while the second one loads.",
        sessions,
        rows("load"),
    )
    yield Table(
        "second_session_memory",
        "Two sessions: memory",
        "Memory that each session adds to the process after its first runs (pages that are mapped "
        "twice count once), and the size of the program.",
        (
            *sessions,
            Contender(LEFT, "ours", about="memory that the second session leaves in use"),
            Contender(FILE, "baseline"),
        ),
        rows("memory"),
        unit="MB",
    )


def warm(name: str) -> None:
    """Compile a model into the cache."""
    from furiosa_models import get_model
    from furiosa_models.runtime.sync import create_runner

    create_runner(get_model(name, weights="random"), device="cpu").close()
    answer(None)


def contend(name: str) -> None:
    """Open one session and then another; report loading time (s), memory (MB) and inferences/s."""
    import numpy as np

    from furiosa_models import get_model
    from furiosa_models.runtime.machine import cpus_per_worker
    from furiosa_models.runtime.sync import create_runner

    model = get_model(name, weights="random")
    image = np.zeros((1, 3, *model.input.size), np.uint8)
    with create_runner(model, device="cpu") as runner:  # warms up imports and the page cache
        runner.run(image)

    def open_session(**options: Any) -> tuple[Any, float, float]:
        """Return a session after two runs, its loading time in seconds, and its memory in MB."""
        before, start = proportional(), time.perf_counter()
        runner = create_runner(model, device="cpu", **options)
        elapsed = time.perf_counter() - start
        for _ in range(2):
            runner.run(image)
        return runner, elapsed, proportional() - before

    first, first_s, first_mb = open_session()
    before = proportional()
    second, second_s, second_mb = open_session(worker_num=cpus_per_worker())
    second.close()
    left = proportional() - before
    second, *_ = open_session(worker_num=cpus_per_worker())
    program = len(model.model_source(precision="fp32")) / 1e6
    answer({
        "load": {FIRST: first_s, SECOND: second_s},
        "memory": {FIRST: first_mb, SECOND: second_mb, LEFT: left, FILE: program},
        "rate": {FIRST: rate(first, image), SECOND: rate(second, image)},
    })  # fmt: skip


def rate(runner: Any, image: Any) -> float:
    """Return the inferences per second with as many threads as `predict` uses for many photos."""
    from furiosa_models.runtime.machine import workers

    counts = [0] * workers()
    end = time.perf_counter() + SECONDS

    def repeat(number: int) -> None:
        while time.perf_counter() < end:
            runner.run(image)
            counts[number] += 1

    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def proportional() -> float:
    """Return the proportional set size (PSS) of this process in MB; 0 if the system is not Linux.

    Pages that are mapped twice count once.
    """
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
    return int(lines["Pss"].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    run(measure, {"warm": warm, "contend": contend})
