"""Time and memory of loading each model: our runner, and sessions of ONNX Runtime.

Each process loads only once, because memory that was freed before would make the next load faster.
The timer starts after the imports, and after the file is read into bytes. Weights are random.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import QUICK, Contender, Goal, Row, Table, answer, memory, once, run, samples_of

OURS, BYTES, PATH = "ours", "InferenceSession(bytes)", "InferenceSession(path)"
CONTENDERS = (
    Contender(
        OURS, "ours", about="`create_runner` with a warm cache: the program was compiled before"
    ),
    Contender(BYTES, "peer"),
    Contender(PATH, "peer"),
)
ROUNDS = 1 if QUICK else 3
FASTER = 10


def measure() -> Iterator[Table]:
    """Measure every model."""
    from furiosa_models import list_models

    figures = {name: row(name) for name in list_models()}

    def rows(figure: str, *goals: Goal) -> list[Row]:
        return [Row(name, samples_of(r[figure] for r in found), goals)
                for name, found in figures.items()]  # fmt: skip

    goal = Goal(f"ours is ready {FASTER} times as fast", OURS, BYTES, 1 / FASTER)
    yield Table(
        "load",
        "Loading",
        "Time until a session is ready, each in a new process. Ours maps the weights into memory "
        "and reads them at the first run, so see all three tables.",
        CONTENDERS,
        rows("ready", goal),
    )
    yield Table(
        "load_first",
        "Loading and the first run",
        "Time until the first outputs are available.",
        CONTENDERS,
        rows("first"),
    )
    yield Table(
        "load_memory",
        "Memory of loading",
        "Growth of the peak memory of the process until the session is ready.",
        CONTENDERS,
        rows("peak"),
        unit="MB",
    )


def row(name: str) -> list[dict[str, dict[str, float]]]:
    """Measure one model; return the figures of each round by figure name and contender."""
    with tempfile.TemporaryDirectory() as folder:  # the programs of all models take gigabytes
        os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
        program = str(Path(folder) / "program.onnx")
        once("prepare", name, program)
        rounds = []
        for _ in range(ROUNDS):
            found = {c.name: once("contend", c.name, name, program) for c in CONTENDERS}
            rounds.append({
                figure: {contender: values[figure] for contender, values in found.items()}
                for figure in ("ready", "first", "peak")
            })  # fmt: skip
        return rounds


def prepare(name: str, program: str) -> None:
    """Compile a model into the cache, and write its ONNX program."""
    from furiosa_models import get_model
    from furiosa_models.runtime.sync import create_runner

    model = get_model(name, weights="random")
    create_runner(model, device="cpu").close()
    Path(program).write_bytes(model.model_source(precision="fp32"))
    answer(None)


def contend(contender: str, name: str, program: str) -> None:
    """Load a program with one contender, run it once, and report times (s) and memory (MB)."""
    import numpy as np
    import onnxruntime

    from furiosa_models import get_model
    from furiosa_models.runtime.sync import create_runner

    model = get_model(name, weights="random")
    image = np.zeros((1, 3, *model.input.size), np.uint8)
    data = Path(program).read_bytes() if contender == BYTES else program

    def load() -> Callable[[], Any]:
        if contender == OURS:
            runner = create_runner(model, device="cpu")
            return lambda: runner.run(image)
        session = onnxruntime.InferenceSession(data)
        feed = {session.get_inputs()[0].name: image}
        return lambda: session.run(None, feed)

    before = memory("VmRSS")
    forget_peak()
    start = time.perf_counter()
    work = load()
    ready = time.perf_counter() - start
    peak = memory("VmHWM")
    work()
    first = time.perf_counter() - start
    answer({"ready": ready, "first": first, "peak": (peak - before) / 1e6})


def forget_peak() -> None:
    """Reset `VmHWM`, so that the peak excludes the imports."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


if __name__ == "__main__":
    run(measure, {"prepare": prepare, "contend": contend})
