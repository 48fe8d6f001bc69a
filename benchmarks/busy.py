"""Inference on a machine that does something else, too: other processes, sessions and threads.

Every contender runs in a separate process, with as many threads as it chooses by itself. Weights
are random.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import Contender, Goal, Row, Table, Worker, interleave, run, serve
from inference import FLOAT, INT8, build, onnxruntime, ours, pixels

from furiosa_models import get_model
from furiosa_models.runtime.machine import available_cpus

NETWORK = "SSDMobileNet"
DEFAULT, QUIET = "ONNX Runtime", "ONNX Runtime, no spinning"
OPTIONS = {DEFAULT: {}, QUIET: {"session.intra_op.allow_spinning": "0"}}
CONTENDERS = [
    Contender(
        f"{name}, int8" if division == INT8 else name,
        "ours" if name == "ours" else "peer",
        division,
    )
    for division in (FLOAT, INT8)
    for name in ("ours", DEFAULT, QUIET)
]
TURN_S = 0.15
PAUSE_S = 0.03  # enough for the threads of a session to stop spinning
THREADS = 8
PROCESS = "while True: pass"
GROUPS = Path("/sys/fs/cgroup/cpu")
QUOTA_US = 100_000  # of a period of as much: one CPU

CASES = {
    "idle": ("alone", 0),
    "a busy process": ("alone", 1),
    "two busy processes": ("alone", 2),
    "a default session of ONNX Runtime in the process": ("foreign", 0),
    "a second runner or session in the process": ("twin", 0),
    f"{THREADS} threads call it": ("threads", 0),
}
"""What else runs: in the process of the contender, and number of other processes."""


def contend(name: str, path: str, group: str) -> None:
    """Load a program, and serve turns that run it; the argument says what else to run."""
    if group:
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    image = pixels(get_model(NETWORK, weights="random").input.size)
    engine = name.removesuffix(", int8")

    def load() -> Callable[[], object]:
        if engine == "ours":
            return ours(path, available_cpus(), {"device": "cpu"}, image)
        return onnxruntime(path, available_cpus(), OPTIONS[engine], image)

    works = {
        "alone": [load()],
        "twin": [load(), load()],
        "foreign": [load(), onnxruntime(path, available_cpus(), {}, image)],
        "threads": [load()] * THREADS,
    }
    for work in {id(work): work for group in works.values() for work in group}.values():
        work()
    serve(lambda case: turn(works[case], is_shared=case == "threads"))


def turn(works: list[Callable[[], object]], *, is_shared: bool) -> float:
    """Run functions at the same time; return the seconds per call, of the first or of all."""
    counts = [0] * len(works)
    start = time.perf_counter()

    def loop(index: int) -> None:
        while time.perf_counter() - start < TURN_S or not counts[index]:
            works[index]()
            counts[index] += 1

    others = [threading.Thread(target=loop, args=(index,)) for index in range(1, len(works))]
    for thread in others:
        thread.start()
    loop(0)
    own = time.perf_counter() - start
    for thread in others:
        thread.join()
    return (time.perf_counter() - start) / sum(counts) if is_shared else own / counts[0]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run processes that need a CPU each."""
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS]) for _ in range(count)]
    time.sleep(0.2 * bool(count))
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def limited() -> Iterator[str]:
    """Make a group of processes with a quota of one CPU, as that of a container; yield its path.

    Yields nothing where this user cannot make one.
    """
    group = GROUPS / f"furiosa-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(QUOTA_US))
        (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
    except OSError as error:
        print(f"no quota is measured: {error}", file=sys.stderr)
        yield ""
        return
    try:
        yield str(group)
    finally:
        group.rmdir()


def race(case: str, workers: dict[str, Worker], inside: str, outside: int) -> Row:
    """Measure all contenders in one case."""
    with busy(outside):
        turns = {name: lambda worker=worker: worker(inside) for name, worker in workers.items()}
        samples = interleave(turns, seconds=2.0, least_rounds=7, pause=PAUSE_S)
    goals = [
        Goal("ours is not slower than another session", f"ours{end}", f"{peer}{end}")
        for end in ("", ", int8")
        for peer in (DEFAULT, QUIET)
    ]
    return Row(case, samples, goals)


def measure() -> Iterator[Table]:
    """Measure every case."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
        paths = build(NETWORK, Path(folder))

        def started(stack: ExitStack, group: str = "") -> dict[str, Worker]:
            return {
                c.name: stack.enter_context(Worker("contend", c.name, paths[c.division], group))
                for c in CONTENDERS
            }

        with ExitStack() as stack:
            workers = started(stack)
            rows += [race(case, workers, *what) for case, what in CASES.items()]
        with limited() as group:
            if group:
                with ExitStack() as stack:
                    rows.append(race("a quota of one CPU", started(stack, group), "alone", 0))
    yield Table(
        "busy",
        "A busy machine",
        f"Time of the network of {NETWORK} for one photo while something else runs; with several "
        "threads, the time between two results. All use the threads that they choose themselves.",
        CONTENDERS,
        rows,
    )


if __name__ == "__main__":
    run(measure, {"contend": contend})
