"""The measuring core: turns, rounds, figures with their noise, and results as JSON.

A contender is measured in turns. All contenders of a row take their turns in the same rounds, one
after the other, forth and back, so that whatever else the machine does falls on all of them alike.
A figure is the median over the rounds, between the 10th and the 90th percentile; two contenders are
compared round by round, and their ratio has a median and percentiles of its own. Absolute figures
move from machine to machine, ratios do much less.

`benchmarks/run.py` starts the scripts, in an environment with the peers. Contenders that would
disturb each other in one process have processes of their own: see `Worker` and `once`.
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
"""Version of the form of the results."""

RESOLUTION = 0.01
"""What part of a figure two contenders have to differ by: where a process finds its memory decides
about less, and that is the same in all rounds of one run."""

QUICK = bool(os.environ.get("BENCH_QUICK"))
"""Whether a few rounds are enough, as the figures only show that everything runs."""

Work: TypeAlias = "Callable[[], object]"
Turn: TypeAlias = "Callable[[], float]"
Samples: TypeAlias = "dict[str, list[float]]"
Kind: TypeAlias = Literal["ours", "peer", "baseline", "floor"]

_LEAST_WARM_S = 0.5
_MOST_REPEATS = 100


@dataclass(frozen=True)
class Contender:
    """A column of a table.

    Attributes:
        name: What it is called.
        kind: `ours`; a `peer`, with which ours is compared; a `baseline`, which does less than all
            of them; or a `floor`, which does the least that the work can take.
        division: Contenders that do the same are in one division: only these are compared. The
            first of ours is the one that stands for us.
        about: What it does, where its name does not say so.
    """

    name: str
    kind: Kind = "peer"
    division: str = ""
    about: str = ""


@dataclass(frozen=True)
class Goal:
    """What a contender is to reach: at most `factor * against + plus`.

    Attributes:
        text: The goal in words.
        of: The contender.
        against: Another contender, or "" where `plus` alone is the limit.
        factor: See above.
        plus: See above, in the unit of the table.
        more: Whether the goal is at least, rather than at most.
    """

    text: str
    of: str
    against: str = ""
    factor: float = 1.0
    plus: float = 0.0
    more: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        case: What is done.
        samples: Figures of each contender; those of one place are of one round.
        goals: What is to be reached.
    """

    case: str
    samples: Samples
    goals: Sequence[Goal] = ()


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        name: Its name, which is unique among all tables.
        title: What was measured.
        text: How it was measured.
        contenders: The columns.
        rows: The lines.
        unit: `s` for seconds, else a word.
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
    """Let the contenders take turns for about `seconds` each.

    Args:
        turns: A turn of each contender, which returns its figure; caches are warm, as `timed`
            leaves them.
        seconds: How long each contender is measured.
        least_rounds: How many rounds there are at least.
        pause: Seconds between two turns, in which threads of the first one stop spinning.

    Returns:
        The figures of each contender, by round.
    """
    samples: Samples = {name: [] for name in turns}
    end = time.perf_counter() + (0.0 if QUICK else seconds * len(turns))
    rounds = 0
    while rounds < (2 if QUICK else least_rounds) or time.perf_counter() < end:
        # Forth and back, since each leaves the caches as the next one finds them.
        for name in list(turns)[:: -1 if rounds % 2 else 1]:
            samples[name].append(turns[name]())
            if pause:
                time.sleep(pause)
        rounds += 1
    return samples


def timed(work: Work, *, items: int = 1, seconds: float = 3e-3) -> Turn:
    """Return a turn that repeats short work: the median of its repetitions, per item.

    Args:
        work: What is timed.
        items: How many things it does, such as photos that it reads.
        seconds: How long a turn takes at least.
    """
    taken = _seconds(work)
    if taken < _LEAST_WARM_S:  # the first time is not like the others
        taken = _seconds(work)
    repeats = max(1, min(_MOST_REPEATS, int(seconds / max(taken, 1e-7))))
    return lambda: median(_seconds(work) for _ in range(repeats)) / items


def turns_of(works: Mapping[str, Work], *, items: int = 1) -> dict[str, Turn]:
    """Return a turn for each piece of work; see `timed`."""
    return {name: timed(work, items=items) for name, work in works.items()}


def samples_of(rounds: Iterable[Mapping[str, float]]) -> Samples:
    """Return figures by contender, given those of each round by contender."""
    samples: Samples = {}
    for found in rounds:
        for name, value in found.items():
            samples.setdefault(name, []).append(value)
    return samples


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(field: str) -> int:
    """Return bytes of memory in use (`VmRSS`), or at most so far (`VmHWM`); 0 off Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


# --- Processes ----------------------------------------------------------------------------------


class Worker:
    """A contender in a process of its own: each turn is asked for, and answered with its figure.

    Args:
        step: Name of a step of the script, which ends in `serve`.
        arguments: What the step is called with.

    Attributes:
        facts: What the step gave to `serve` beside the work.
    """

    def __init__(self, step: str, *arguments: Any) -> None:
        self._process = subprocess.Popen(
            _command(step, arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts: dict[str, Any] = self._read()

    def __call__(self, argument: Any = None) -> float:
        """Take a turn; the argument is that of the turn."""
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
            msg = f"a contender ended with {self._process.wait()}: {self._process.args!r}"
            raise RuntimeError(msg)
        return json.loads(line)


def once(step: str, *arguments: Any) -> Any:
    """Run a step of the script in a process of its own, and return what it gives to `answer`."""
    done = subprocess.run(_command(step, arguments), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _command(step: str, arguments: Sequence[Any]) -> list[str]:
    return [sys.executable, sys.argv[0], "--step", step, json.dumps(arguments)]


_answers = sys.stdout


def answer(value: Any) -> None:
    """Give a value to the process that started this step."""
    print(json.dumps(value), file=_answers, flush=True)


def serve(turn: Callable[[Any], float], facts: Mapping[str, Any] | None = None) -> None:
    """Take a turn each time that the process which started this step asks for one.

    Args:
        turn: Returns its figure; called with the argument that is sent.
        facts: What the process is told at first.
    """
    answer(dict(facts or {}))
    for line in sys.stdin:
        answer(turn(json.loads(line)))


def run(
    measure: Callable[[], Iterable[Table]], steps: Mapping[str, Callable[..., None]] | None = None
) -> None:
    """Run a script: measure and keep its tables, or take one of its steps.

    Args:
        measure: Measures, and returns tables.
        steps: What other processes are started for, by name.
    """
    global _answers
    if sys.argv[1:2] == ["--step"]:
        _answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what peers print is no answer
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
        median: The figure.
        low: Its 10th percentile.
        high: Its 90th percentile.
        rounds: How often it was measured.
    """

    median: float
    low: float
    high: float
    rounds: int = field(default=1)

    @classmethod
    def of(cls, samples: Sequence[float]) -> Value:
        """Return the figure of some samples."""
        low, middle, high = (float(f"{v:.5g}") for v in np.percentile(samples, (10, 50, 90)))
        return cls(middle, low, high, len(samples))


def as_json(table: Table) -> dict[str, Any]:
    """Return a table as it is kept."""
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
    """The contenders of a row, each with the one that stands for ours in its division."""
    present = [contender for contender in table.contenders if contender.name in row.samples]
    for contender in present:
        rivals = (c for c in present if c.kind == "ours" and c.division == contender.division)
        ours = next(rivals, contender)
        if ours is not contender:
            yield contender, ours


def _ratios(row: Row, table: Table) -> dict[str, Value]:
    """Each contender's figures over those of ours in its division, round by round."""
    ratios: dict[str, Value] = {}
    for contender, ours in _pairs(row, table):
        own = row.samples[ours.name]
        if min(own) > 0:  # a difference may be less than its noise
            rounds = zip(row.samples[contender.name], own, strict=True)
            ratios[contender.name] = Value.of([theirs / mine for theirs, mine in rounds])
    return ratios


def _standings(row: Row, table: Table) -> dict[str, str]:
    """How ours stands beside each peer: `ahead`, `behind`, or `equal` within noise."""
    found = {}
    for peer, ours in _pairs(row, table):
        if peer.kind != "peer":
            continue
        theirs, own = (np.array(row.samples[contender.name]) for contender in (peer, ours))
        lead = (theirs - own) * (-1 if table.better == "more" else 1)
        low, middle, high = np.percentile(lead, (10, 50, 90))
        told_apart = abs(middle) >= RESOLUTION * abs(np.median(own))
        standing = "ahead" if low > 0 else "behind" if high < 0 else "equal"
        found[peer.name] = standing if told_apart else "equal"
    return found


def _goals(row: Row, values: Mapping[str, Value]) -> Iterable[dict[str, Any]]:
    """Say of each goal whether it is reached: `yes`, `no`, or `noise` where no round can tell."""
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
    """Return facts of the machine."""
    from furiosa_models.runtime.machine import available_cpus, cpu_features, cpu_name

    vectors = "avx2", "avx512f", "avx512_vnni", "asimd"
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu_name(),
        "cpus": available_cpus(),
        "vectors": [name for name in vectors if name in cpu_features()],
        "memory_gb": round(pages / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _print(table: Table) -> None:
    """Print a table for whoever watches; the page of the documentation has all of it."""
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
