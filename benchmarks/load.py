"""Every model's warm load: our runner beside ONNX Runtime's sessions, in time and in memory.

Each load is one process's only one, since memory that was freed before makes the next load faster.
Imports are done, and the bytes are read, before the clock starts. Weights are random. Names of
models may be given; the default is all of them.

What we map into memory is read when the network first runs, so that `first_run` (in the JSON: from
nothing to the first outputs) says what loading lazily really saves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common

OURS, BYTES, PATH = "ours, warm", "InferenceSession(bytes)", "InferenceSession(path)"
CONTESTANTS = (OURS, BYTES, PATH)
ROUNDS = 3
TARGET = 10.0


def main() -> None:
    """Measure and report."""
    from furiosa_models import list_models

    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    rows = []
    for name in sys.argv[1:] or list_models():
        rows.append(row(name))
        print(in_words(rows[-1]), flush=True)
    common.report("load", "Loading every model", rows)


def row(name: str) -> common.Row:
    """One model, loaded in all three ways in turn."""
    with tempfile.TemporaryDirectory() as folder:  # of a model's own: all of them are gigabytes
        os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
        program = str(Path(folder) / "program.onnx")
        process("prepare", name, program)
        rounds = [
            {contestant: process(contestant, name, program) for contestant in CONTESTANTS}
            for _ in range(ROUNDS)
        ]
    least = {
        contestant: {
            figure: min(found[contestant][figure] for found in rounds)
            for figure in rounds[0][contestant]
        }
        for contestant in CONTESTANTS
    }
    seconds = {contestant: least[contestant]["load"] for contestant in CONTESTANTS}
    notes: dict[str, Any] = {
        figure: {contestant: least[contestant][figure] for contestant in CONTESTANTS}
        for figure in ("first_run", "peak_mb")
    }
    return common.Row(name, seconds, notes={**notes, "target": TARGET})


def process(contestant: str, name: str, program: str) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, __file__, "--contestant", contestant, name, program]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def contest(contestant: str, name: str, program: str) -> None:
    """Load a program in one of the ways, run it once, and print the figures."""
    import numpy as np
    import onnxruntime

    from furiosa_models.catalog import get_model
    from furiosa_models.runtime.sync import create_runner

    model = get_model(name, weights="random")
    if contestant == "prepare":
        create_runner(model, device="cpu").close()
        Path(program).write_bytes(model.model_source(precision="fp32"))
        print(json.dumps({}))
        return
    image = np.zeros((1, 3, *model.input.size), np.uint8)
    data = Path(program).read_bytes() if contestant == BYTES else program

    def load() -> Callable[[], Any]:
        if contestant == OURS:
            runner = create_runner(model, device="cpu")
            return lambda: runner.run(image)
        session = onnxruntime.InferenceSession(data)
        feed = {session.get_inputs()[0].name: image}
        return lambda: session.run(None, feed)

    before = memory("VmRSS")
    forget_peak()
    start = time.perf_counter()
    run = load()
    loaded = time.perf_counter()
    peak = memory("VmHWM")
    run()
    figures = {"load": loaded - start, "first_run": time.perf_counter() - start}
    print(json.dumps({**figures, "peak_mb": (peak - before) / 1e6}))


def memory(field: str) -> int:
    """Bytes of memory in use (`VmRSS`), or most at any time (`VmHWM`); 0 off Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def forget_peak() -> None:
    """Let `VmHWM` begin anew, so that what was imported before does not count."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def in_words(row: common.Row) -> str:
    """A row, with memory and the first run."""
    base, peaks, runs = row.seconds[BYTES], row.notes["peak_mb"], row.notes["first_run"]
    faster = base / row.seconds[OURS]
    return (
        f"{row.case:18} {row.seconds[OURS] * 1e3:7.1f} ms instead of {base * 1e3:7.1f} "
        f"({faster:5.1f}x, target {TARGET:g}x: {'met' if faster >= TARGET else 'missed'}), "
        f"{peaks[OURS]:5.0f} MB instead of {peaks[BYTES]:5.0f}, "
        f"first outputs after {runs[OURS] * 1e3:6.0f} ms instead of {runs[BYTES] * 1e3:6.0f}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contestant"]:
        contest(*sys.argv[2:])
    else:
        common.enter()
        main()
