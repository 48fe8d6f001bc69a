from __future__ import annotations

from typing import Any

import common
import pytest
from common import Contender, Goal, Row, Table, as_json, interleave, samples_of, timed

CONTENDERS = (
    Contender("ours", "ours"),
    Contender("peer"),
    Contender("ours, draft", "ours", "draft"),
    Contender("peer, draft", division="draft"),
)


def measured(row: Row, **fields: Any) -> dict[str, Any]:
    document = as_json(Table("t", "T", "how", CONTENDERS, [row], **fields))
    found: dict[str, Any] = document["rows"][0]
    return found


def test_contenders_alternate_in_both_directions() -> None:
    calls: list[str] = []

    def turn(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    samples = interleave({n: lambda n=n: turn(n) for n in "ab"}, seconds=0.0, least_rounds=3)  # type: ignore[misc]
    assert calls == list("abbaab")
    assert samples == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_short_work_is_repeated_and_its_median_per_item_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.4, 0.01, 0.02, 5.0, 0.01])  # the first two determine the number of repetitions
    monkeypatch.setattr(common, "_seconds", lambda _: next(times))
    assert timed(lambda: None, items=2, seconds=0.03)() == 0.01


def test_long_work_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.6, 0.7])
    monkeypatch.setattr(common, "_seconds", lambda _: next(times))
    assert timed(lambda: None)() == 0.7


def test_figures_include_their_noise() -> None:
    row = measured(Row("case", {"ours": [float(n) for n in range(1, 12)]}))
    assert row["values"]["ours"] == {"median": 6.0, "low": 2.0, "high": 10.0, "rounds": 11}


def test_ratios_compare_the_same_round_and_division() -> None:
    samples = {
        "ours": [1.0, 10.0, 100.0],
        "peer": [2.0, 20.0, 200.0],
        "ours, draft": [4.0] * 3,
        "peer, draft": [1.0] * 3,
    }
    ratios = measured(Row("case", samples))["ratios"]
    assert ratios.keys() == {"peer", "peer, draft"}
    assert (ratios["peer"]["low"], ratios["peer"]["high"]) == (2.0, 2.0)
    assert ratios["peer, draft"]["median"] == 0.25


@pytest.mark.parametrize(
    ("ours", "reached"),
    [([1.0] * 5, "yes"), ([1.0, 3.0, 3.0, 3.0, 3.0], "noise"), ([3.0] * 5, "no")],
)
def test_goals_are_evaluated(ours: list[float], reached: str) -> None:
    goal = Goal("at most twice, and a half", "ours", "peer", 2, 0.5)
    row = measured(Row("case", {"ours": ours, "peer": [1.0] * 5}, [goal]))
    assert row["goals"][0]["limit"] == 2.5
    assert row["goals"][0]["reached"] == reached


def test_goal_can_be_a_minimum_number() -> None:
    goals = [Goal("at least 3", "ours", plus=3, more=True), Goal("of what is not there", "none")]
    row = measured(Row("case", {"ours": [4.0, 5.0]}, goals))
    assert [goal["reached"] for goal in row["goals"]] == ["yes"]


def test_rounds_are_transposed_to_columns() -> None:
    assert samples_of([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]) == {
        "a": [1.0, 3.0],
        "b": [2.0, 4.0],
    }


@pytest.mark.parametrize(
    ("peer", "standing"),
    [
        ([2.0] * 5, "ahead"),
        ([0.5] * 5, "behind"),
        ([0.9, 1.1, 0.9, 1.1, 0.9], "equal"),
        ([0.995] * 5, "equal"),
    ],
)
def test_standings(peer: list[float], standing: str) -> None:
    row = Row("case", {"ours": [1.0] * 5, "peer": peer})
    assert measured(row)["standings"] == {"peer": standing}
    other = {"ahead": "behind", "behind": "ahead"}.get(standing, "equal")
    assert measured(row, better="more")["standings"] == {"peer": other}


def test_differences_below_zero_have_standings_and_no_ratio() -> None:
    row = measured(Row("case", {"ours": [-1.0, 1.0, 1.0], "peer": [4.0, 6.0, 6.0]}))
    assert row["standings"] == {"peer": "ahead"}
    assert row["ratios"] == {}
