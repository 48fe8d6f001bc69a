"""The page "Performance": tables and charts of what the benchmarks measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from charts import Bar, Group, bar_chart
from measured import Line, Section, is_ours, read_sections

__all__ = ["performance_page"]

_INTRO = """# Performance

What `make bench` measured, beside peers that pip has. Contenders take turns, and the least of many
times counts; absolute figures move from machine to machine, so compare the ratios: `x2` is twice
the time of the first column. Every script is in `benchmarks/`, every figure in
`benchmarks/results/`."""

_KINDS = ("cpu", "cpus", "vectors", "system", "python", "versions", "packages", "load", "commit")


def performance_page(results: Path, first_predict: Path) -> str:
    """The page, in Markdown with inline SVG.

    Args:
        results: Folder of the benchmarks' results.
        first_predict: What `benchmarks/first_predict.py` measured.
    """
    sections = read_sections(results)
    parts = [_INTRO, _verdicts(sections)]
    parts += ["\n".join(_section(section)) for section in sections]
    return "\n\n".join([*parts, _first_prediction(first_predict)]) + "\n"


def _verdicts(sections: list[Section]) -> str:
    """Which targets are met, in one table."""
    rows = ["| | cases within the target | missed |", "|---|---|---|"]
    for section in sections:
        judged = [line for line in section.lines if line.is_met is not None]
        missed = [line.case for line in judged if not line.is_met]
        if judged:
            link = f"[{section.title}](#{section.name})"
            count = f"{len(judged) - len(missed)} of {len(judged)}"
            rows.append(f"| {link} | {count} | {', '.join(missed) or '-'} |")
    return "\n".join(rows)


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title} {{ #{section.name} }}"
    yield ""
    if section.text:
        yield from [section.text, ""]
    if section.lines:
        yield from ["<figure>", _chart(section), "</figure>", ""]
        yield from _table(section)
    else:
        yield from _rest(section.rest)
    if facts := _machine(section.machine):
        yield from ["", f"*{facts}*"]


def _chart(section: Section) -> str:
    unit = _unit(section)[1]
    if all(len(line.values) == 1 for line in section.lines):  # a heading for each bar is too much
        targeted = any(line.limit is not None for line in section.lines)
        bars = [
            bar
            for line in section.lines
            for bar in _bars(line, section, ours=not targeted or line.limit is not None)
        ]
        return bar_chart(section.title, [Group("", bars)], unit)
    groups = [Group(line.case, list(_bars(line, section))) for line in section.lines]
    return bar_chart(section.title, [group for group in groups if group.bars], unit)


def _bars(line: Line, section: Section, *, ours: bool | None = None) -> Iterator[Bar]:
    """Bars of a case; where it has only one, that has the case's name, and `ours` says whose."""
    for name, value in {**line.values, "floor": line.floor}.items():
        if value is None or value <= 0:  # an import may take less than the noise
            continue
        kind = "floor" if name == "floor" else "ours" if is_ours(name) else "peer"
        if ours is not None:
            name, kind = line.case, "ours" if ours else "peer"
        yield Bar(name, value * _unit(section)[0], _cell(line, value, section), kind)


def _table(section: Section) -> Iterator[str]:
    names = list(dict.fromkeys(name for line in section.lines for name in line.values))
    floors = ["floor"] if any(line.floor for line in section.lines) else []
    targets = ["target"] if any(line.is_met is not None for line in section.lines) else []
    yield f"| | {' | '.join([*names, *floors, *targets])} |"
    yield "|---" * (1 + len([*names, *floors, *targets])) + "|"
    for line in section.lines:
        columns = {**line.values, "floor": line.floor}
        cells = [_cell(line, columns.get(name), section) for name in [*names, *floors]]
        cells += [_verdict(line, section)] if targets else []
        yield f"| {' | '.join([line.case, *cells])} |"


def _cell(line: Line, value: float | None, section: Section) -> str:
    """A figure, and how many times the first one it is."""
    if value is None:
        return "-"
    base = next(iter(line.values.values()))
    figure = _figure(value, section)
    return figure if value == base or base <= 0 else f"{figure} (x{value / base:.2f})"


def _verdict(line: Line, section: Section) -> str:
    if line.limit is None:
        return "-"
    state = "met" if line.is_met else f"**missed**, x{line.of_interest / line.limit:.2f}"
    return f"{_figure(line.limit, section)} ({line.target}): {state}"


def _figure(value: float, section: Section) -> str:
    scale, unit = _unit(section)
    scaled = value * scale
    text = f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:.3g}"
    return f"{text} {unit}" if section.unit == "s" else text


def _unit(section: Section) -> tuple[float, str]:
    """What values are multiplied by to be shown, and the unit that they then have."""
    if section.unit != "s":
        return 1.0, section.unit
    middle = sorted(line.of_interest for line in section.lines)[len(section.lines) // 2]
    return (1e6, "\u00b5s") if middle < 1e-3 else (1e3, "ms")


def _machine(facts: Mapping[str, Any]) -> str:
    """The machine in one line; a load beside the benchmark's own says that it was busy."""
    texts = {
        "cpu": lambda v: str(v),
        "cpus": lambda v: f"{v} CPUs",
        "vectors": lambda v: ", ".join(v),
        "python": lambda v: f"Python {v}",
        "packages": lambda v: ", ".join(f"{name} {version}" for name, version in v.items()),
        "load": lambda v: f"load {v[0]:.1f}",
        "commit": lambda v: f"commit {v}",
    }
    shown = [texts.get(kind, str)(facts[kind]) for kind in _KINDS if facts.get(kind)]
    return "; ".join(shown)


def _rest(document: Any) -> Iterator[str]:
    """A document of an unknown form: a table of its rows where it has some, else its JSON."""
    rows = document.get("rows") if isinstance(document, dict) else document
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        yield f"| {' | '.join(names)} |"
        yield "|---" * len(names) + "|"
        for row in rows:
            yield f"| {' | '.join(_plain(row.get(name)) for name in names)} |"
    else:
        yield from ["```json", json.dumps(document, indent=1), "```"]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value).replace("|", "\\|")


def _first_prediction(path: Path) -> str:
    """What `benchmarks/first_predict.py` measured of every model."""
    document = json.loads(path.read_text())
    machine = document["machine"]
    intro = (
        "Wall time and peak memory of the first `predict` of a fresh process, with warm caches, "
        f"on {machine['cpus']} CPUs of {machine['processor']}, Python {machine['python']}: import, "
        "model, photo, network, results. `python benchmarks/first_predict.py` measures it again."
    )
    rows = [
        f"| {row['model']} | {row['weights']} | {row['seconds']:.2f} | {row['peak_mb']:.0f} |"
        for row in document["rows"]
    ]
    head = ["| model | weights | seconds | peak MB |", "|---|---|---|---|"]
    return "\n".join(["## The first prediction { #first }", "", intro, "", *head, *rows])
