"""Core of the benchmarks: interleaved measurements, figures with their noise, and JSON results.

Contenders are measured in rounds. In each round, every contender of a row takes one turn; the order
of the turns is reversed in every second round. So other load on the machine affects all contenders
equally. A figure is the median over the rounds, with its 10th and 90th percentile. Two contenders
are compared round by round, so that their ratio has a median and percentiles, too. Absolute figures
depend on the machine; ratios depend on it much less.

`benchmarks/run.py` starts the scripts in a virtual environment that has the peers installed.
Contenders that would disturb each other in one process run in separate processes: see `Worker` and
`once`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeAlias

import numpy as np

__all__ = [
    "QUICK",
    "ROOT",
    "Contender",
    "Goal",
    "Row",
    "Samples",
    "Table",
    "Turn",
    "Work",
    "Worker",
    "answer",
    "interleave",
    "memory",
    "once",
    "run",
    "samples_of",
    "serve",
    "timed",
    "turns_of",
]

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = 1
"""Version of the JSON format of the results."""

RESOLUTION = 0.01
"""Minimum relative difference of two contenders; smaller ones count as equal.

The memory layout of a process causes smaller differences, which are the same in all rounds of a
run."""

QUICK = bool(os.environ.get("BENCH_QUICK"))
"""Whether to run only a few rounds, to check that the scripts work."""

Work: TypeAlias = "Callable[[], object]"
Turn: TypeAlias = "Callable[[], float]"
Samples: TypeAlias = "dict[str, list[float]]"
Kind: TypeAlias = Literal["ours", "peer", "baseline", "floor"]

_MIN_WARM_S = 0.5
_MAX_REPEATS = 100


@dataclass(frozen=True)
class Contender:
    """A column of a table.

    Attributes:
        name: Name of the contender.
        kind: `ours`; a `peer`, which is compared with ours; a `baseline`, which does only a part of
            the work; or a `floor`, which does the minimum of work that the task requires.
        division: Name of the group of contenders that do the same work. Contenders are compared
            only within a division, with the first contender of ours in it.
        about: Description, if the name does not explain what the contender does.
    """

    name: str
    kind: Kind = "peer"
    division: str = ""
    about: str = ""


@dataclass(frozen=True)
class Goal:
    """A limit for the figure of a contender: at most `factor * against + plus`.

    Attributes:
        text: Description of the goal.
        of: Name of the contender.
        against: Name of the contender to compare with, or "" if the limit is `plus` alone.
        factor: Factor of the figure of `against`.
        plus: Constant part of the limit, in the unit of the table.
        more: Whether the limit is a minimum instead of a maximum.
    """

    text: str
    of: str
    against: str = ""
    factor: float = 1.0
    plus: float = 0.0
    more: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        case: Name of the measured case.
        samples: Figures of each contender by round; equal indices are the same round.
        goals: Goals of the contenders.
    """

    case: str
    samples: Samples
    goals: Sequence[Goal] = ()


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        name: Name, which is unique among all tables.
        title: Title: what was measured.
        text: Description: how it was measured.
        contenders: Columns of the table.
        rows: Rows of the table.
        unit: Unit of the figures; `s` for seconds.
        better: Whether `less` or `more` is better.
    """

    name: str
    title: str
    text: str
    contenders: Sequence[Contender]
    rows: Sequence[Row]
    unit: str = "s"
    better: Literal["less", "more"] = "less"


# --- Measuring ----------------------------------------------------------------------------------


def interleave(
    turns: Mapping[str, Turn], *, seconds: float = 1.0, least_rounds: int = 5, pause: float = 0.0
) -> Samples:
    """Measure the contenders in alternation, for about `seconds` each.

    Args:
        turns: Function of each contender that takes a turn and returns its figure. Caches must be
            warm, as they are after `timed`.
        seconds: Approximate duration of the measurement per contender.
        least_rounds: Minimum number of rounds.
        pause: Pause between two turns in seconds, in which the threads of the previous contender
            stop spinning.

    Returns:
        The figures of each contender by round.
    """
    samples: Samples = {name: [] for name in turns}
    end = time.perf_counter() + (0.0 if QUICK else seconds * len(turns))
    rounds = 0
    while rounds < (2 if QUICK else least_rounds) or time.perf_counter() < end:
        # Alternate the direction, because each contender leaves its data in the caches.
        for name in list(turns)[:: -1 if rounds % 2 else 1]:
            samples[name].append(turns[name]())
            if pause:
                time.sleep(pause)
        rounds += 1
    return samples


def timed(work: Work, *, items: int = 1, seconds: float = 3e-3) -> Turn:
    """Return a turn that measures the seconds of some work per item.

    A turn repeats short work, and returns the median of the repetitions.

    Args:
        work: Function to time.
        items: Number of items that it processes, such as photos.
        seconds: Minimum duration of a turn; a turn has at most 100 repetitions.
    """
    elapsed = _seconds(work)
    if elapsed < _MIN_WARM_S:  # the first call is slower than the others
        elapsed = _seconds(work)
    repeats = max(1, min(_MAX_REPEATS, int(seconds / max(elapsed, 1e-7))))
    return lambda: median(_seconds(work) for _ in range(repeats)) / items


def turns_of(works: Mapping[str, Work], *, items: int = 1) -> dict[str, Turn]:
    """Return a turn for each function; see `timed`."""
    return {name: timed(work, items=items) for name, work in works.items()}


def samples_of(rounds: Iterable[Mapping[str, float]]) -> Samples:
    """Convert the figures of each round by contender to the figures of each contender by round."""
    samples: Samples = {}
    for figures in rounds:
        for name, value in figures.items():
            samples.setdefault(name, []).append(value)
    return samples


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(field: str) -> int:
    """Return the memory of this process in bytes; 0 if the system is not Linux.

    Args:
        field: `VmRSS` for the current memory, or `VmHWM` for its peak.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


# --- Processes ----------------------------------------------------------------------------------


class Worker:
    """A contender in a separate process, which takes a turn at each call.

    Args:
        step: Name of a step of the script, which must end with a call of `serve`.
        arguments: Arguments of the step.

    Attributes:
        facts: The facts that the step passed to `serve`.
    """

    def __init__(self, step: str, *arguments: Any) -> None:
        self._process = subprocess.Popen(
            _command(step, arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts: dict[str, Any] = self._read()

    def __call__(self, argument: Any = None) -> float:
        """Let the process take a turn with an argument, and return the figure."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(argument) + "\n")
        self._process.stdin.flush()
        return float(self._read())

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            msg = f"a contender exited with code {self._process.wait()}: {self._process.args!r}"
            raise RuntimeError(msg)
        return json.loads(line)


def once(step: str, *arguments: Any) -> Any:
    """Run a step of the script in a new process, and return the value that it passes to `answer`.

    Args:
        step: Name of the step.
        arguments: Arguments of the step, which must be serializable as JSON.

    Raises:
        CalledProcessError: The step failed.
    """
    process = subprocess.run(
        _command(step, arguments), check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(process.stdout)


def _command(step: str, arguments: Sequence[Any]) -> list[str]:
    return [sys.executable, sys.argv[0], "--step", step, json.dumps(arguments)]


_answers = sys.stdout


def answer(value: Any) -> None:
    """Send a value to the process that started this step."""
    print(json.dumps(value), file=_answers, flush=True)


def serve(turn: Callable[[Any], float], facts: Mapping[str, Any] | None = None) -> None:
    """Take a turn at each request of the process that started this step.

    Args:
        turn: Function that takes the argument of the request and returns the figure.
        facts: Values to send first.
    """
    answer(dict(facts or {}))
    for line in sys.stdin:
        answer(turn(json.loads(line)))


def run(
    measure: Callable[[], Iterable[Table]], steps: Mapping[str, Callable[..., None]] | None = None
) -> None:
    """Run a benchmark script: measure and write its tables, or run one of its steps.

    Args:
        measure: Function that measures and returns the tables.
        steps: Functions to run in separate processes, by name.
    """
    global _answers
    if sys.argv[1:2] == ["--step"]:
        _answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # the output of peers must not mix with the answers
        (steps or {})[sys.argv[2]](*json.loads(sys.argv[3]))
        return
    name = Path(sys.argv[0]).stem
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    tables = list(measure())
    for table in tables:
        _print(table)
    packages = {d.name: d.version for d in distributions()}
    document = {
        "schema": SCHEMA,
        "name": name,
        "run": {**json.loads(os.environ["BENCH_RUN"]), "load": load},
        "machine": machine(),
        "packages": dict(sorted(packages.items(), key=lambda package: package[0].lower())),
        "tables": [as_json(table) for table in tables],
    }
    path = Path(os.environ["BENCH_RESULTS"]) / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")


# --- Results ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A figure and its noise.

    Attributes:
        median: Median over the rounds.
        low: 10th percentile.
        high: 90th percentile.
        rounds: Number of rounds.
    """

    median: float
    low: float
    high: float
    rounds: int = field(default=1)

    @classmethod
    def of(cls, samples: Sequence[float]) -> Value:
        """Return the median and the percentiles of samples."""
        low, middle, high = (float(f"{v:.5g}") for v in np.percentile(samples, (10, 50, 90)))
        return cls(middle, low, high, len(samples))


def as_json(table: Table) -> dict[str, Any]:
    """Return a table as JSON values, with ratios, standings and goals."""
    return {
        "name": table.name,
        "title": table.title,
        "text": table.text,
        "unit": table.unit,
        "better": table.better,
        "contenders": [asdict(contender) for contender in table.contenders],
        "rows": [_row(row, table) for row in table.rows],
    }


def _row(row: Row, table: Table) -> dict[str, Any]:
    values = {name: Value.of(samples) for name, samples in row.samples.items()}
    return {
        "case": row.case,
        "values": {name: asdict(value) for name, value in values.items()},
        "ratios": {name: asdict(ratio) for name, ratio in _ratios(row, table).items()},
        "standings": _standings(row, table),
        "goals": list(_goals(row, values)),
    }


def _pairs(row: Row, table: Table) -> Iterator[tuple[Contender, Contender]]:
    """Yield each contender of a row with the contender of ours that it is compared with."""
    present = [contender for contender in table.contenders if contender.name in row.samples]
    for contender in present:
        candidates = (c for c in present if c.kind == "ours" and c.division == contender.division)
        ours = next(candidates, contender)
        if ours is not contender:
            yield contender, ours


def _ratios(row: Row, table: Table) -> dict[str, Value]:
    """Return the ratio of each contender to ours in its division, computed round by round."""
    ratios: dict[str, Value] = {}
    for contender, ours in _pairs(row, table):
        own = row.samples[ours.name]
        if min(own) > 0:  # differences of times can be negative because of noise
            rounds = zip(row.samples[contender.name], own, strict=True)
            ratios[contender.name] = Value.of([other / reference for other, reference in rounds])
    return ratios


def _standings(row: Row, table: Table) -> dict[str, str]:
    """Return whether ours is `ahead` of each peer, `behind` it, or `equal` within noise."""
    standings = {}
    for peer, ours in _pairs(row, table):
        if peer.kind != "peer":
            continue
        theirs, own = (np.array(row.samples[contender.name]) for contender in (peer, ours))
        lead = (theirs - own) * (-1 if table.better == "more" else 1)
        low, middle, high = np.percentile(lead, (10, 50, 90))
        is_distinct = abs(middle) >= RESOLUTION * abs(np.median(own))
        standing = "ahead" if low > 0 else "behind" if high < 0 else "equal"
        standings[peer.name] = standing if is_distinct else "equal"
    return standings


def _goals(row: Row, values: Mapping[str, Value]) -> Iterable[dict[str, Any]]:
    """Yield each goal with its state: reached (`yes`), not reached (`no`), or within `noise`."""
    for goal in row.goals:
        if goal.of not in values or (goal.against and goal.against not in values):
            continue
        samples = row.samples[goal.of]
        others = row.samples[goal.against] if goal.against else [0.0] * len(samples)
        sign = -1 if goal.more else 1
        excess = [
            sign * (value - goal.factor * other - goal.plus)
            for value, other in zip(samples, others, strict=True)
        ]
        low, middle = np.percentile(excess, (10, 50))
        against = values[goal.against].median if goal.against else 0.0
        yield {
            "text": goal.text,
            "of": goal.of,
            "value": values[goal.of].median,
            "limit": float(f"{goal.factor * against + goal.plus:.5g}"),
            "reached": "yes" if middle <= 0 else "noise" if low <= 0 else "no",
        }


def machine() -> dict[str, Any]:
    """Return a description of the machine."""
    from furiosa_models.runtime.machine import available_cpus, cpu_features, cpu_name

    extensions = "avx2", "avx512f", "avx512_vnni", "asimd"
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu_name(),
        "cpus": available_cpus(),
        "vectors": [name for name in extensions if name in cpu_features()],
        "memory_gb": round(pages / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _print(table: Table) -> None:
    """Print a summary of a table; the documentation shows all of it."""
    print(f"\n{table.title}")
    document = as_json(table)
    scale, unit = (1e3, "ms") if table.unit == "s" else (1.0, table.unit)
    for row in document["rows"]:
        print(f"  {row['case']}")
        for name, value in row["values"].items():
            figures = [f"{scale * value[key]:.4g}" for key in ("median", "low", "high")]
            ratio = row["ratios"].get(name)
            over = f"  x{ratio['median']:.2f}" if ratio else ""
            print(f"    {name:40} {figures[0]:>8} {unit} ({figures[1]} to {figures[2]}){over}")
        for goal in row["goals"]:
            print(f"    goal: {goal['text']}: {goal['reached']}")
    sys.stdout.flush()
