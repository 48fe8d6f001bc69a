from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from measured import Standing, read_results
from performance import performance_page

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"
RUN = {"commit": "0123456789abcdef", "dirty": False, "date": "2026-11-26T00:00:00", "quick": False}
MACHINE = {
    "cpu": "A CPU", "cpus": 2, "vectors": ["avx2"], "memory_gb": 8, "system": "Linux",
    "python": "3.11",
}  # fmt: skip
OURS = {"name": "ours", "kind": "ours", "division": "", "about": "what we do"}
PEER = {"name": "peer", "kind": "peer", "division": "", "about": ""}


def value(median: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    low, high = median if low is None else low, median if high is None else high
    return {"median": median, "low": low, "high": high, "rounds": 5}


def row(case: str, ours: float, peer: float, noise: float = 0.0, **fields: Any) -> dict[str, Any]:
    ratio = peer / ours
    standing = "equal" if abs(ratio - 1) <= noise else "ahead" if ratio > 1 else "behind"
    return {
        "case": case,
        "values": {"ours": value(ours), "peer": value(peer)},
        "ratios": {"peer": value(ratio, ratio - noise, ratio + noise)},
        "standings": {"peer": standing},
        "goals": [],
        **fields,
    }


def table(name: str, *rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.capitalize(),
        "text": "How it was measured.",
        "unit": "s",
        "better": "less",
        "contenders": [OURS, PEER],
        "rows": list(rows),
        **fields,
    }


def write(folder: Path, *tables: dict[str, Any], name: str = "one", **run: Any) -> None:
    document = {
        "schema": 1,
        "name": name,
        "run": {**RUN, "order": 0, "load": 0.1, **run},
        "machine": MACHINE,
        "packages": {"numpy": "2.0"},
        "tables": list(tables),
    }
    (folder / f"{name}.json").write_text(json.dumps(document))


def goal(reached: str) -> dict[str, Any]:
    return {"text": "be quick", "of": "ours", "value": 2.0, "limit": 1.0, "reached": reached}


def test_page_shows_every_result_and_all_contenders() -> None:
    page = performance_page(RESULTS)
    for results in read_results(RESULTS):
        for each in results.tables:
            assert f"## {each.title} {{ #{each.name} }}" in page
            for contender in each.contenders:
                measured = any(contender.name in row.values for row in each.rows)
                assert not measured or f" {contender.name} |" in page


def test_page_of_the_same_results_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, table("speed", row("slow", 2e-3, 1e-3), row("fast", 1e-3, 2e-3)))
    page = performance_page(tmp_path)
    assert "<svg" in page
    assert page == performance_page(tmp_path)


def test_all_results_are_from_one_clean_commit() -> None:
    found = read_results(RESULTS)
    assert len({results.run["commit"] for results in found}) <= 1
    assert not any(results.run["dirty"] or results.run["quick"] for results in found)


def test_cases_where_others_are_faster_come_first(tmp_path: Path) -> None:
    write(tmp_path, table("speed", row("slow", 2e-3, 1e-3), row("fast", 1e-3, 2e-3)))
    page = performance_page(tmp_path)
    lines = page.splitlines()
    assert "| [Speed](#speed) | slow | ours | peer | x0.50 |  |" in lines
    assert page.index("Where others are ahead") < page.index("## Speed")
    assert "| slow | 2 | 1, x0.50 | **behind** peer |" in lines
    assert "| fast | 1 | 2, x2.00 | first |" in lines
    assert "| [Speed](#speed) | 1 | 0 | 1 |" in lines
    assert "- ours: what we do." in lines


def test_differences_within_noise_are_equal(tmp_path: Path) -> None:
    write(tmp_path, table("speed", row("close", 100e-6, 99e-6, noise=0.02)))
    page = performance_page(tmp_path)
    assert "| close | 100 | 99, x0.99 (0.97 to 1.01) | equal to peer within noise |" in page
    assert "No peer is ahead in any measured case." in page


@pytest.mark.parametrize(
    ("better", "first"), [("less", ("peer", "peer 2")), ("more", ("peer 2", "peer"))]
)
def test_the_best_peer_ahead_is_listed_first(
    better: str, first: tuple[str, ...], tmp_path: Path
) -> None:
    case = row("case", 1.5, 1.0)
    case["values"] |= {"peer 2": value(2.0)}
    case["standings"] = {"peer": "behind", "peer 2": "behind"}
    contenders = [OURS, PEER, {**PEER, "name": "peer 2"}]
    write(tmp_path, table("rate", case, unit="x", better=better, contenders=contenders))
    (found,) = read_results(tmp_path)
    verdict = found.tables[0].verdict(found.tables[0].rows[0], "")
    assert verdict is not None
    assert (verdict.standing, verdict.peers) == (Standing.BEHIND, first)


def test_only_contenders_of_the_same_division_are_compared(tmp_path: Path) -> None:
    other = {"name": "peer, draft", "kind": "peer", "division": "draft", "about": ""}
    second = {"name": "ours, int8", "kind": "ours", "division": "", "about": ""}
    case = row("case", 2.0, 1.0)
    case["values"] |= {"peer, draft": value(0.1), "ours, int8": value(0.5)}
    case["ratios"] |= {"ours, int8": value(0.25)}
    write(tmp_path, table("speed", case, contenders=[OURS, PEER, second, other]))
    (found,) = read_results(tmp_path)
    (speed,) = found.tables
    verdict = speed.verdict(speed.rows[0], "")
    assert verdict is not None
    assert (verdict.standing, verdict.peers) == (Standing.BEHIND, ("peer",))
    assert verdict.other == "ours, int8"
    assert speed.verdict(speed.rows[0], "draft") is None
    assert "**behind** peer; ours, int8 is not" in performance_page(tmp_path)


def test_goals_are_described_in_plain_words(tmp_path: Path) -> None:
    rows = [row(state, 2.0, 3.0, goals=[goal(state)]) for state in ("yes", "noise", "no")]
    write(tmp_path, table("speed", *rows))
    line = (
        "| [Speed](#speed) | be quick | 1 of 3 | noise (x2.00 of the limit) | "
        "no (x2.00 of the limit) |"
    )
    assert line in performance_page(tmp_path).splitlines()


def test_page_describes_the_run_and_its_commit(tmp_path: Path) -> None:
    write(tmp_path, table("a"), name="a")
    write(tmp_path, table("b"), name="b")
    page = performance_page(tmp_path)
    assert "Measured on 2 CPUs of A CPU (avx2), 8 GB, Linux, Python 3.11; " in page
    assert "commit `0123456789ab`, 2026-11-26." in page
    assert "!!!" not in page
    write(tmp_path, table("b"), name="b", commit="fedcba", date="2026-12-01")
    assert '!!! warning "Measured in several runs"' in performance_page(tmp_path)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"dirty": True}, "with uncommitted changes"),
        ({"quick": True}, "a few rounds only, to check the scripts"),
        ({"load": 4.5}, "while the machine was busy with other work"),
    ],
)
def test_doubtful_runs_are_marked(run: dict[str, Any], words: str, tmp_path: Path) -> None:
    write(tmp_path, table("a"), name="a", **run)
    page = performance_page(tmp_path)
    assert "!!! danger" in page
    assert f"{words}: a" in page


def test_tables_without_peers_and_figures_below_noise(tmp_path: Path) -> None:
    alone = row("start", -1e-4, 1.0)
    del alone["values"]["peer"]
    alone |= {"ratios": {}, "standings": {}}
    write(tmp_path, table("start", alone, contenders=[OURS]))
    page = performance_page(tmp_path)
    assert "| start | -100 |" in page
    assert "<svg" not in page


def test_other_schemas_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"rows": []}')
    with pytest.raises(ValueError, match=r"old\.json: expected schema 1, got None"):
        read_results(tmp_path)


def test_results_have_the_order_of_measurement(tmp_path: Path) -> None:
    for order, name in enumerate(("z", "m", "a")):
        write(tmp_path, table(name), name=name, order=order)
    assert [results.name for results in read_results(tmp_path)] == ["z", "m", "a"]
