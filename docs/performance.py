"""The page "Performance": first the cases where peers are faster, then all tables and charts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from charts import Line, Series, chart
from measured import Contender, Results, Row, Standing, Table, Value, Verdict, read_results

__all__ = ["performance_page"]

_INTRO = """# Performance

This page shows all results of `make bench`, which compares this package ("ours") with other
packages from PyPI ("peers"). The contenders take turns in each round of a measurement. A figure is
the median over the rounds. `x2` is twice the figure of ours; the 10th and the 90th percentile of
the ratio follow in parentheses. Two contenders are equal within noise if the percentiles of their
difference have different signs, or if its median is less than 1 % of our figure. Figures depend on
the machine; ratios depend on it much less."""


def performance_page(folder: Path) -> str:
    """Return the page as Markdown with inline SVG.

    Args:
        folder: Folder of the benchmarks' results.

    Raises:
        ValueError: A file in the folder has another version of the format.
    """
    results = read_results(folder)
    tables = [table for result in results for table in result.tables]
    parts = [
        _INTRO,
        "\n".join(_run_facts(results)),
        "\n".join(_rows_behind(tables)),
        "\n".join(_standing_counts(tables)),
        "\n".join(_goals(tables)),
        *("\n".join(_section(table)) for table in tables),
        "\n".join(_versions(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


# --- Above the tables ---------------------------------------------------------------------------


def _run_facts(results: Sequence[Results]) -> Iterator[str]:
    """Yield machine, date and commit of the results, with warnings if they are not of one run."""
    if not results:
        return
    facts = [
        f"{r.machine['cpus']} CPUs of {r.machine['cpu']} ({', '.join(r.machine['vectors'])}), "
        f"{r.machine['memory_gb']} GB, {r.machine['system']}, Python {r.machine['python']}; "
        f"commit `{r.run['commit'][:12]}`, {r.run['date'][:10]}"
        for r in results
    ]
    names = [", ".join(r.name for r, own in zip(results, facts, strict=True) if own == fact)
             for fact in facts]  # fmt: skip
    groups = dict(zip(names, facts, strict=True))
    if len(groups) == 1:
        yield f"Measured on {facts[0]}."
    else:
        yield '!!! warning "Measured in several runs"'
        yield ""
        yield from (f"    - {name}: {fact}" for name, fact in groups.items())
    for problem in _problems(results):
        yield from ["", f'!!! danger "{problem}"', ""]


def _problems(results: Sequence[Results]) -> Iterator[str]:
    dirty = [r.name for r in results if r.run["dirty"]]
    if dirty:
        yield f"Measured with uncommitted changes: {', '.join(dirty)}"
    quick = [r.name for r in results if r.run["quick"]]
    if quick:
        yield f"Measured in a few rounds only, to check the scripts: {', '.join(quick)}"
    busy = [r.name for r in results if (r.run["load"] or 0.0) > r.machine["cpus"] + 1.0]
    if busy:
        yield f"Measured while the machine was busy with other work: {', '.join(busy)}"


def _rows_with_standing(
    tables: Sequence[Table], standing: Standing
) -> Iterator[tuple[Table, Row, str, Verdict]]:
    for table in tables:
        for row in table.rows:
            for division in table.divisions:
                verdict = table.verdict(row, division)
                if verdict is not None and verdict.standing is standing:
                    yield table, row, division, verdict


def _rows_behind(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the table of cases where a peer is ahead."""
    found = list(_rows_with_standing(tables, Standing.BEHIND))
    yield "## Where others are ahead { #behind }"
    yield ""
    if not found:
        yield "No peer is ahead in any measured case."
        return
    yield "| | case | ours | peers ahead of ours | ratio of the best peer | |"
    yield "|---|---|---|---|---|---|"
    for table, row, division, verdict in found:
        link = f"[{table.title}](#{table.name})"
        also = f"{verdict.other} is ahead of these peers" if verdict.other else ""
        ratio = _ratio(verdict.ratio) if verdict.ratio else "-"
        peers = "; ".join(verdict.peers)
        yield _line([link, _case(row, division), verdict.ours, peers, ratio, also])


def _standing_counts(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the table of how often ours is first, equal and behind."""
    yield "## All comparisons { #comparisons }"
    yield ""
    yield "| | first | equal within noise | behind |"
    yield "|---|---|---|---|"
    for table in tables:
        counts = [sum(1 for _ in _rows_with_standing([table], standing)) for standing in Standing]
        if any(counts):
            yield _line([f"[{table.title}](#{table.name})", *map(str, counts)])


def _goals(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the table of goals, with the cases that reach them or not."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for table in tables:
        for row in table.rows:
            for goal in row.goals:
                key = f"[{table.title}](#{table.name})", goal.text
                over = f" (x{goal.value / goal.limit:.2f} of the limit)" if goal.limit > 0 else ""
                found.setdefault(key, []).append((goal.reached, row.case + over))
    if not found:
        return
    yield "## Goals { #goals }"
    yield ""
    yield "| | goal | reached | within noise | not reached |"
    yield "|---|---|---|---|---|"
    for (link, text), cases in found.items():
        count = sum(reached == "yes" for reached, _ in cases)
        lists = [
            "; ".join(case for reached, case in cases if reached == state) or "-"
            for state in ("noise", "no")
        ]
        yield _line([link, text, f"{count} of {len(cases)}", *lists])


# --- Tables -------------------------------------------------------------------------------------


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.title} {{ #{table.name} }}"
    yield ""
    yield from [table.text, ""]
    for division in table.divisions:
        contenders = table.of_division(division)
        rows = [row for row in table.rows if any(c.name in row.values for c in contenders)]
        if not rows:
            continue
        if division:
            heading = f"{division[0].upper()}{division[1:]}"
            yield from [f"### {heading} {{ #{_anchor(table, division)} }}", ""]
        yield from _chart(table, contenders, rows, division)
        yield from _table(table, contenders, rows, division)
        about = [f"- {c.name}: {c.about}." for c in contenders if c.about]
        yield from ["", *about, ""] if about else [""]


def _anchor(table: Table, division: str) -> str:
    return f"{table.name}-{division.replace(' ', '-').lower()}"


def _chart(
    table: Table, contenders: Sequence[Contender], rows: Sequence[Row], division: str
) -> Iterator[str]:
    """Yield a chart of ratios to ours, or of absolute figures if there are no peers."""
    scale, unit = _unit(table, contenders, rows)
    ours = next((c.name for c in contenders if c.kind == "ours"), None)
    compared = ours is not None and all(
        len(row.ratios.keys() & {c.name for c in contenders}) > 0 for row in rows
    )
    lines = []
    for row in rows:
        points: dict[str, tuple[float, float, float]] = {}
        for contender in contenders:
            value = (row.ratios if compared else row.values).get(contender.name)
            if compared and contender.name == ours:
                value = Value(1.0, 1.0, 1.0, 1)
            if value is not None and value.low > 0:  # noise can make differences negative
                factor = 1.0 if compared else scale
                points[contender.name] = (
                    value.median * factor, value.low * factor, value.high * factor
                )  # fmt: skip
        if points:
            lines.append(Line(row.case, points))
    if not lines:
        return
    axis = f"times ours ({'more' if table.more else 'less'} is better)" if compared else unit
    title = f"{table.title}, {division}" if division else table.title
    series = [Series(contender.name, contender.kind) for contender in contenders]
    drawn = chart(title, series, lines, axis, reference=1.0 if compared else None)
    yield from ["<figure>", drawn, "</figure>", ""]


def _table(
    table: Table, contenders: Sequence[Contender], rows: Sequence[Row], division: str
) -> Iterator[str]:
    scale, unit = _unit(table, contenders, rows)
    shown = [c for c in contenders if any(c.name in row.values for row in rows)]
    verdicts = {row.case: table.verdict(row, division) for row in rows}
    judged = any(verdicts.values())
    yield _line([f"*{unit}*", *(c.name for c in shown), *(["ours is"] if judged else [])])
    yield "|---" * (1 + len(shown) + judged) + "|"
    for row in rows:
        cells = [_cell(row, contender.name, scale) for contender in shown]
        yield _line([row.case, *cells, *([_verdict_text(verdicts[row.case])] if judged else [])])


def _cell(row: Row, name: str, scale: float) -> str:
    value = row.values.get(name)
    if value is None:
        return "-"
    ratio = row.ratios.get(name)
    figure = _figure(value.median * scale)
    return figure if ratio is None else f"{figure}, {_ratio(ratio)}"


def _verdict_text(verdict: Verdict | None) -> str:
    if verdict is None:
        return "-"
    if verdict.standing is Standing.AHEAD:
        return "first"
    peers = "; ".join(verdict.peers)
    if verdict.standing is Standing.EQUAL:
        return f"equal to {peers} within noise"
    also = f"; {verdict.other} is not" if verdict.other else ""
    return f"**behind** {peers}{also}"


def _case(row: Row, division: str) -> str:
    return f"{row.case}, {division}" if division else row.case


def _ratio(ratio: Value) -> str:
    """Format a ratio with its noise, or without it if it vanishes in two decimals."""
    low, middle, high = (f"{value:.2f}" for value in (ratio.low, ratio.median, ratio.high))
    return f"x{middle}" if low == high else f"x{middle} ({low} to {high})"


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _unit(table: Table, contenders: Iterable[Contender], rows: Sequence[Row]) -> tuple[float, str]:
    """Return the factor that converts figures for display, and the unit after it."""
    if table.unit != "s":
        return 1.0, table.unit
    names = [contender.name for contender in contenders]
    figures = sorted(
        row.values[name].median for row in rows for name in names if name in row.values
    )
    return (1e6, "µs") if figures[len(figures) // 2] < 1e-3 else (1e3, "ms")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _versions(results: Sequence[Results]) -> Iterator[str]:
    """Yield the versions of all packages in the environment of the benchmarks."""
    if not results:
        return
    packages = {name: version for r in results for name, version in r.packages.items()}
    yield "## Versions { #versions }"
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in packages.items()) + "."
