"""What the benchmarks measured, read from `benchmarks/results/*.json`.

Every file says what it holds: titles, contenders, figures with their noise, goals. Nothing is known
here of any one of them. `Verdict` is who is first among those that do the same, if the noise lets
anyone tell.
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
    """A figure, or a ratio of two.

    Attributes:
        median: Over all rounds.
        low: 10th percentile.
        high: 90th percentile.
        rounds: How many there were.
    """

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A column: `kind` is `ours`, `peer`, `baseline` or `floor`; see `benchmarks/common.py`."""

    name: str
    kind: str
    division: str
    about: str


@dataclass(frozen=True, slots=True)
class Goal:
    """What was aimed at: `reached` is `yes`, `no`, or `noise`; see `benchmarks/common.py`."""

    text: str
    of: str
    value: float
    limit: float
    reached: str


class Standing(Enum):
    """How ours stands beside a peer."""

    AHEAD = "ahead"
    EQUAL = "equal"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class Row:
    """A case.

    Attributes:
        case: What was done.
        values: Figure of each contender.
        ratios: Its ratio to that of ours in the same division.
        standings: How ours stands beside each peer.
        goals: What was aimed at.
    """

    case: str
    values: Mapping[str, Value]
    ratios: Mapping[str, Value]
    standings: Mapping[str, Standing]
    goals: tuple[Goal, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How ours stands in one division of a row.

    Attributes:
        standing: Ahead of all peers, equal to some within noise, or behind some.
        ours: The contender that stands for us.
        peers: The peers that are ahead of it, the best one first; or those that are equal.
        ratio: Of the best one of those to ours.
        other: Another contender of ours that is ahead of all peers, where ours is behind.
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
        """The divisions, in order."""
        return list(dict.fromkeys(contender.division for contender in self.contenders))

    def of_division(self, division: str) -> list[Contender]:
        """Return the contenders of a division."""
        return [contender for contender in self.contenders if contender.division == division]

    def verdict(self, row: Row, division: str) -> Verdict | None:
        """Say how ours stands in a division of a row; None where it has no peers."""
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
        """Return the first of ours whose figure is better than a peer's."""
        sign = -1 if self.more else 1
        least = sign * row.values[peer].median
        return next((name for name in ours if sign * row.values[name].median < least), "")


@dataclass(frozen=True, slots=True)
class Results:
    """A file of results.

    Attributes:
        name: Its name.
        run: Commit, date, and what else is known of the run.
        machine: What it was measured on.
        packages: Versions of what was measured.
        tables: Its tables.
    """

    name: str
    run: Mapping[str, Any]
    machine: Mapping[str, Any]
    packages: Mapping[str, str]
    tables: tuple[Table, ...]


def read_results(folder: Path) -> list[Results]:
    """Return the results of a folder, in the order in which they were measured.

    Raises:
        ValueError: A file has another form.
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
