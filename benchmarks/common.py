"""What the benchmarks share: the peers' environment, interleaved timing, tables and results.

Every script, started in the environment of `make setup`, runs itself again in one of its own
(build/bench-venv) that holds the peers from the package index beside this checkout. All contenders
of a row take turns in one process and the least of many times counts, so that whatever else the
machine does falls on all alike. Absolute figures move from machine to machine: compare ratios.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / "build" / "bench-venv"
RESULTS = Path(__file__).parent / "results"

PEERS = (
    "furiosa-native-postprocess==0.10.0",
    "kornia-rs",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
)

Work: TypeAlias = "Callable[[], object]"


@dataclass
class Row:
    """One line of a table.

    Attributes:
        case: What is done.
        seconds: Least time of each contender; the others are compared with the first one.
        floor: Seconds of a floor program in C on `FLOOR_MACHINE`, where one was measured.
        notes: What else goes into the JSON.
    """

    case: str
    seconds: dict[str, float]
    floor: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)


FLOOR_MACHINE = "2 cores of an AMD EPYC (Zen 5, AVX-512 VNNI)"


def enter() -> None:
    """Go on in the peers' environment, which is made if it is not there."""
    if Path(sys.prefix).resolve() == VENV:
        return
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (VENV / ".ready").exists():
        _make(python)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(python), *sys.argv]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


def _make(python: Path) -> None:
    print(f"making {VENV.relative_to(ROOT)} ...", flush=True)
    needed = [need for need in requires("furiosa-model-zoo") or () if "extra ==" not in need]
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *needed, *PEERS], check=True)
    (VENV / ".ready").touch()


def interleaved(contenders: Mapping[str, Work], *, seconds: float = 1.5) -> dict[str, float]:
    """The least time of each contender; they take turns for about `seconds` each."""
    turns = {name: _turn(work) for name, work in contenders.items()}
    best = dict.fromkeys(contenders, float("inf"))
    end = time.perf_counter() + seconds * len(contenders)
    rounds = 0
    while rounds < 5 or time.perf_counter() < end:
        rounds += 1
        # Back and forth, since each leaves the caches as the next one finds them.
        order = list(turns.items())[:: 1 if rounds % 2 else -1]
        for name, turn in order:
            best[name] = min(best[name], turn())
    return best


def _turn(work: Work) -> Callable[[], float]:
    """Work repeated until it takes a millisecond, and the least time of one of these."""
    work()
    start = time.perf_counter()
    work()
    repeats = max(1, min(50, int(1e-3 / max(time.perf_counter() - start, 1e-7))))

    def turn() -> float:
        least = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            least = min(least, time.perf_counter() - start)
        return least

    return turn


def report(name: str, title: str, rows: Sequence[Row], *, unit: str = "ms") -> None:
    """Print a table with ratios to the first contender, and keep it as JSON with the machine."""
    print(f"\n{title}\n({unit}; xN: N times the first column)")
    if any(row.floor for row in rows):
        print(f"(the floor was measured on {FLOOR_MACHINE})")
    print()
    lines = _table(rows, {"ms": 1e3, "us": 1e6}[unit])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    RESULTS.mkdir(exist_ok=True)
    document = {"title": title, "machine": machine(), "rows": [asdict(row) for row in rows]}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\n-> {path.relative_to(ROOT)}", flush=True)


def _table(rows: Sequence[Row], scale: float) -> list[list[str]]:
    names = list(dict.fromkeys(name for row in rows for name in row.seconds))
    floors = ["floor"] if any(row.floor for row in rows) else []
    lines = [["case", *names, *floors]]
    for row in rows:
        columns = {**row.seconds, "floor": row.floor}
        base = next(iter(row.seconds.values()))
        cells = [_cell(columns.get(name), base, scale) for name in [*names, *floors]]
        lines.append([row.case, *cells])
    return lines


def _cell(seconds: float | None, base: float, scale: float) -> str:
    if seconds is None:
        return "-"
    figure = f"{seconds * scale:.3g}" if seconds * scale < 1000 else f"{seconds * scale:.0f}"
    return figure if seconds == base else f"{figure} (x{seconds / base:.2f})"


def machine() -> dict[str, Any]:
    """Facts of the machine and of what was measured on it."""
    # Here, since the script that makes the peers' environment does without the package.
    from furiosa_models.runtime.machine import available_cpus, cpu_features, cpu_name

    vectors = "avx2", "avx512f", "avx512_vnni", "asimd"
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cpu": cpu_name(),
        "cpus": available_cpus(),
        "vectors": [name for name in vectors if name in cpu_features()],
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "packages": _versions("numpy", "onnxruntime", *(p.split("==")[0] for p in PEERS)),
    }


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
