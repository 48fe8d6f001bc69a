"""What the benchmarks measured, read from `benchmarks/results/*.json`, and whether it is enough.

Every file becomes a section. Those with rows of `benchmarks/common.py` need nothing here; what is
known of a file (a sentence on what was done, and its target) is in `KNOWN`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Line", "Section", "read_sections"]

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """What was measured in one case.

    Attributes:
        case: What was done.
        values: Figure of each contender, in seconds (or the section's own unit); less is better.
        floor: Figure of a program that does nothing else, where there is one.
        limit: What the first contender is to stay below, in the unit of the values.
        target: The target in words.
    """

    case: str
    values: Mapping[str, float]
    floor: float | None = None
    limit: float | None = None
    target: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.limit is None else self.of_interest <= self.limit

    @property
    def of_interest(self) -> float:
        """The figure that the target is for: the first one that is ours."""
        ours = (value for name, value in self.values.items() if is_ours(name))
        return next(ours, next(iter(self.values.values())))


@dataclass(frozen=True, slots=True)
class Section:
    """A file of results.

    Attributes:
        name: Its name.
        title: What was measured.
        text: How, and what the target is.
        lines: The cases.
        unit: Of the values: `s` for times, else a word.
        machine: What it was measured on.
        rest: A document that has no rows that are understood.
    """

    name: str
    title: str
    text: str = ""
    lines: tuple[Line, ...] = ()
    unit: str = "s"
    machine: Mapping[str, Any] = field(default_factory=dict)
    rest: Any = None


def is_ours(contender: str) -> bool:
    """Whether a contender is this package, rather than a peer or a baseline."""
    return contender.startswith(("ours", "predict(", "over bare Python"))


def read_sections(folder: Path) -> list[Section]:
    """The sections of all files of a folder: those in `KNOWN` in its order, then the others."""
    found = []
    for path in folder.glob("*.json"):
        found += _sections(path.stem, json.loads(path.read_text()))
    order = list(KNOWN)

    def place(section: Section) -> tuple[int, str]:
        file = section.name.partition("-")[0]
        return (order.index(file) if file in order else len(order)), section.name

    return sorted(found, key=place)


def _sections(name: str, document: Any) -> list[Section]:
    if name == "runtime":
        return _of_runtime(document)
    machine = document.get("machine", {}) if isinstance(document, dict) else {}
    title, text, target = KNOWN.get(name, ("", "", None))
    section = Section(name, title or name.replace("_", " ").capitalize(), text, machine=machine)
    if not isinstance(document, dict):
        return [replace(section, rest=document)]
    if "instructions" in document:
        before = document.get("before", {})
        lines = tuple(
            Line(
                case,
                {"ours": n / 1e6, **({"before": before[case] / 1e6} if case in before else {})},
            )
            for case, n in document["instructions"].items()
        )
        return [replace(section, lines=lines, unit="million instructions")]
    rows = document.get("rows")
    if not isinstance(rows, list) or not all("seconds" in row and "case" in row for row in rows):
        return [replace(section, rest={k: v for k, v in document.items() if k != "machine"})]
    section = replace(
        section,
        title=title or document.get("title", section.title),
        lines=tuple(_line(row, target) for row in rows),
    )
    return [section, *_beside(section, rows)]


def _beside(section: Section, rows: Sequence[Row]) -> Iterator[Section]:
    """What a file's notes hold of every contender of every row, as sections of their own."""
    for figure, (words, unit) in _FIGURES.items():
        if all(figure in row.get("notes", {}) for row in rows):
            lines = tuple(Line(row["case"], row["notes"][figure]) for row in rows)
            name, title = f"{section.name}-{figure}", f"{section.title}: {words}"
            yield replace(section, name=name, title=title, text="", lines=lines, unit=unit)


def _line(row: Row, target: Target | None) -> Line:
    line = Line(row["case"], row["seconds"], row.get("floor"))
    limit, words = target(row) if target else (None, "")
    return replace(line, limit=limit, target=words)


def _of_runtime(document: Row) -> list[Section]:
    """`benchmarks/runtime.py` has a form of its own: runs and loading in one row."""
    machine = {"cpu": document["machine"], "versions": document["versions"]}
    runs = []
    for row in document["rows"]:
        times = {label: ms / 1e3 for label, ms in row["ms"].items()}
        tuned = min(t for label, t in times.items() if label.startswith("plain"))
        values = {
            "ours": times["ours"],
            "ONNX Runtime, default": times["default"],
            "ONNX Runtime, best tuned": tuned,
            "ours, int8": times["ours, int8"],
        }
        case = f"{row['network']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        runs.append(Line(case, values, limit=tuned, target="the best tuned session's"))
    title, text, _ = KNOWN["runtime"]
    return [Section("runtime", title, text, tuple(runs), machine=machine)]


_FIGURES = {
    "first_run": ("until the first outputs", "s"),
    "peak_mb": ("growth of peak memory", "MB"),
}
"""Notes that are shown: what they are in words, and their unit."""

Target: TypeAlias = "Callable[[Row], tuple[float | None, str]]"


def _postprocess(row: Row) -> tuple[float | None, str]:
    peers = [seconds for name, seconds in row["seconds"].items() if not is_ours(name)]
    limits = [2 * row["floor"] + 15e-6] if row.get("floor") else []
    return min([*limits, *peers], default=None), "2 floors + 15 \u00b5s, and every peer's"


def _of_peer(peer: str, factor: float, words: str) -> Target:
    def target(row: Row) -> tuple[float | None, str]:
        seconds = row["seconds"].get(peer)
        return (None, "") if seconds is None else (factor * seconds, words)

    return target


def _over_run(row: Row) -> tuple[float | None, str]:
    wanted = row.get("notes", {}).get("target")
    bare = row["seconds"].get("session.run alone")
    if wanted is None or bare is None:
        return None, ""
    return wanted * bare, f"{wanted:g} of session.run alone"


def _noted(row: Row) -> tuple[float | None, str]:
    wanted = row.get("notes", {}).get("target")
    return wanted, "" if wanted is None else f"{wanted * 1e3:g} ms"


KNOWN: dict[str, tuple[str, str, Target | None]] = {
    "postprocess": (
        "Postprocessing",
        "The network's outputs to results, result objects included. The floor is a program in C "
        "with AVX2 that does the same and makes expected an objects, measured on another machine.",
        _postprocess,
    ),
    "decode": ("Decoding JPEGs", "Encoded bytes to pixels, on one thread.", None),
    "resize": (
        "Resizing",
        "Decoded pixels to the network's input, on one thread.",
        _of_peer("OpenCV resize alone", 1, "OpenCV's"),
    ),
    "preprocess": (
        "Preprocessing",
        "A JPEG file to the network's input, on one thread. The floor is the entropy decoding of "
        "the file alone, measured on another machine.",
        _of_peer("simplejpeg + OpenCV", 1.15, "1.15 of simplejpeg + OpenCV"),
    ),
    "runtime": (
        "Inference",
        "Batches of one photo, random weights; the best tuned session is the fastest of some that "
        "differ in spinning, denormals and block sizes.",
        None,
    ),
    "load": (
        "Loading",
        "A session that is ready to run, each in a process of its own. Ours maps its weights into "
        "memory and reads them when it first runs, so see both.",
        _of_peer("InferenceSession(bytes)", 0.1, "a tenth of InferenceSession(bytes)"),
    ),
    "end_to_end": (
        "End to end",
        "A JPEG file to results, on one thread, beside the network alone.",
        _over_run,
    ),
    "stream": (
        "Many photos",
        "`predict(stream=True)` over JPEG files, per photo, beside the network alone.",
        _of_peer("session.run alone", 1 / 0.85, "0.85 of the bare throughput"),
    ),
    "startup": (
        "Start-up",
        "Whole processes, over a bare Python; bytecode and caches are warm.",
        _noted,
    ),
    "instructions": (
        "Instructions",
        "What one call of a kernel in Rust takes, counted by callgrind: a figure that repeats. "
        "Before is the first count that was kept.",
        None,
    ),
}
"""By file: title, text, and the target of a row in its unit and in words."""
