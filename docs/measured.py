"""Results of the benchmarks, read from `benchmarks/results/*.json`.

Every file describes its contents: titles, contenders, figures with their noise, and goals. So this
module does not depend on any particular benchmark. A `Verdict` states how ours compares with the
peers of its division, within the noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = [
    "Contender",
    "Goal",
    "Results",
    "Row",
    "Standing",
    "Table",
    "Value",
    "Verdict",
    "read_results",
]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Value:
    """A figure, or a ratio of two figures.

    Attributes:
        median: Median over all rounds.
        low: 10th percentile.
        high: 90th percentile.
        rounds: Number of rounds.
    """

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A column of a table; `benchmarks/common.py` describes the fields."""

    name: str
    kind: str
    division: str
    about: str


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of a contender.

    Attributes:
        text: Description of the goal.
        of: Name of the contender.
        value: Median of its figure.
        limit: Value to reach, in the unit of the table.
        reached: `yes`, `no`, or `noise` if the difference is within noise.
    """

    text: str
    of: str
    value: float
    limit: float
    reached: str


class Standing(Enum):
    """Comparison of ours with a peer."""

    AHEAD = "ahead"
    EQUAL = "equal"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        case: Name of the case.
        values: Figure of each contender.
        ratios: Ratio of each contender to ours in the same division.
        standings: Comparison of ours with each peer.
        goals: Goals of the contenders.
    """

    case: str
    values: Mapping[str, Value]
    ratios: Mapping[str, Value]
    standings: Mapping[str, Standing]
    goals: tuple[Goal, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Comparison of ours with all peers in one division of a row.

    Attributes:
        standing: Ahead of all peers, equal to at least one within noise, or behind at least one.
        ours: Name of the contender of ours that is compared: the first one of the division.
        peers: Peers that are ahead of it, or else equal to it; the best one first.
        ratio: Ratio of the best of these peers to ours.
        other: If ours is behind, another contender of ours that is better than all peers.
    """

    standing: Standing
    ours: str
    peers: tuple[str, ...] = ()
    ratio: Value | None = None
    other: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one file; `benchmarks/common.py` explains the fields."""

    name: str
    title: str
    text: str
    unit: str
    more: bool
    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...]

    @property
    def divisions(self) -> list[str]:
        """Names of the divisions, in order."""
        return list(dict.fromkeys(contender.division for contender in self.contenders))

    def of_division(self, division: str) -> list[Contender]:
        """Return the contenders of a division."""
        return [contender for contender in self.contenders if contender.division == division]

    def verdict(self, row: Row, division: str) -> Verdict | None:
        """Compare ours with the peers in a division of a row; return None if there are no peers."""
        present = [c for c in self.of_division(division) if c.name in row.values]
        ours = [c.name for c in present if c.kind == "ours"]
        peers = [c.name for c in present if c.name in row.standings]
        if not peers or not ours:
            return None
        peers.sort(key=lambda name: row.values[name].median, reverse=self.more)
        for standing in (Standing.BEHIND, Standing.EQUAL):
            found = tuple(name for name in peers if row.standings[name] is standing)
            if found:
                other = self._better(row, ours[1:], found[0])
                return Verdict(
                    standing,
                    ours[0],
                    found,
                    row.ratios.get(found[0]),
                    other if standing is Standing.BEHIND else "",
                )
        return Verdict(Standing.AHEAD, ours[0])

    def _better(self, row: Row, ours: Sequence[str], peer: str) -> str:
        """Return the first contender of ours that is better than a peer, or an empty string."""
        sign = -1 if self.more else 1
        reference = sign * row.values[peer].median
        return next((name for name in ours if sign * row.values[name].median < reference), "")


@dataclass(frozen=True, slots=True)
class Results:
    """A file of results.

    Attributes:
        name: Name of the benchmark script.
        run: Facts of the run, such as `commit`, `date`, `dirty` and `quick`.
        machine: Facts of the machine, such as `cpu` and `memory_gb`.
        packages: Versions of the installed packages by name.
        tables: Tables of results.
    """

    name: str
    run: Mapping[str, Any]
    machine: Mapping[str, Any]
    packages: Mapping[str, str]
    tables: tuple[Table, ...]


def read_results(folder: Path) -> list[Results]:
    """Read the results in a folder, and return them in the order of measurement.

    Raises:
        ValueError: A file has another version of the format.
    """
    found = [_results(json.loads(path.read_text()), path) for path in folder.glob("*.json")]
    return sorted(found, key=lambda results: (results.run["order"], results.name))


def _results(document: Mapping[str, Any], path: Path) -> Results:
    if document.get("schema") != SCHEMA:
        msg = (
            f"{path.name}: expected schema {SCHEMA}, got {document.get('schema')!r}: measure again"
        )
        raise ValueError(msg)
    return Results(
        document["name"],
        document["run"],
        document["machine"],
        document["packages"],
        tuple(_table(table) for table in document["tables"]),
    )


def _table(table: Mapping[str, Any]) -> Table:
    return Table(
        table["name"],
        table["title"],
        table["text"],
        table["unit"],
        table["better"] == "more",
        tuple(Contender(**contender) for contender in table["contenders"]),
        tuple(_rows(table["rows"])),
    )


def _rows(rows: list[Mapping[str, Any]]) -> Iterator[Row]:
    for row in rows:
        values, ratios = (
            {name: Value(**value) for name, value in row[key].items()}
            for key in ("values", "ratios")
        )
        standings = {name: Standing(word) for name, word in row["standings"].items()}
        goals = tuple(Goal(**goal) for goal in row["goals"])
        yield Row(row["case"], values, ratios, standings, goals)
