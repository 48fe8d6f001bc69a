from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from measured import KNOWN, read_sections
from performance import performance_page

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"
FIRST = ROOT / "docs" / "first_predict.json"
MACHINE = {"cpu": "A CPU", "cpus": 2, "load": [3.25, 1, 1], "commit": "abc123"}


def write(folder: Path, name: str, *rows: dict[str, Any], **document: Any) -> None:
    text = json.dumps({"machine": MACHINE, "rows": list(rows), **document})
    (folder / f"{name}.json").write_text(text)


def row(case: str, floor: float | None = None, **seconds: float) -> dict[str, Any]:
    return {"case": case, "seconds": seconds, "floor": floor, "notes": {}}


def names() -> set[str]:
    return {path.stem for path in RESULTS.glob("*.json")}


def lines_of(folder: Path) -> list[str]:
    return performance_page(folder, FIRST).splitlines()


def test_every_result_is_shown_with_its_chart() -> None:
    page = performance_page(RESULTS, FIRST)
    for path in RESULTS.glob("*.json"):
        assert f"{{ #{path.stem} }}" in page
        assert path.stem not in KNOWN or KNOWN[path.stem][0] in page
    assert page.count("<svg") == page.count("</svg>") >= len(KNOWN.keys() & names())
    assert page == performance_page(RESULTS, FIRST)


def test_a_row_has_ratios_the_floor_and_its_target(tmp_path: Path) -> None:
    write(tmp_path, "postprocess", row("easy", 10e-6, ours=30e-6, peer=90e-6))
    write(tmp_path, "resize", row("hard", ours=2e-3, **{"OpenCV resize alone": 1e-3}))
    page = lines_of(tmp_path)
    unit = "\u00b5s"
    assert (
        f"| easy | 30 {unit} | 90 {unit} (x3.00) | 10 {unit} (x0.33) "
        f"| 35 {unit} (2 floors + 15 {unit}, and every peer's): met |"
    ) in page
    assert "| hard | 2 ms | 1 ms (x0.50) | 1 ms (OpenCV's): **missed**, x2.00 |" in page
    assert "| [Postprocessing](#postprocess) | 1 of 1 | - |" in page
    assert "| [Resizing](#resize) | 0 of 1 | hard |" in page
    assert "*A CPU; 2 CPUs; load 3.2; commit abc123*" in page


def test_a_peer_that_is_faster_than_the_floors_limit_is_the_limit(tmp_path: Path) -> None:
    write(tmp_path, "postprocess", row("case", 100e-6, ours=30e-6, peer=20e-6))
    (section,) = read_sections(tmp_path)
    assert section.lines[0].limit == 20e-6
    assert section.lines[0].is_met is False


def test_a_new_file_of_rows_gets_a_section_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "warp_speed", row("case", ours=1.0, peer=2.0), title="Warping")
    page = lines_of(tmp_path)
    assert "## Warping { #warp_speed }" in page
    assert "| case | 1000 ms | 2000 ms (x2.00) |" in page


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"rows": [{"a": 1.23456, "b": "x|y"}, {"c": None}]}, "| 1.235 | x\\|y | - |"),
        ([{"a": 1}], "| 1 |"),
        ({"figure": 3}, ' "figure": 3'),
    ],
)
def test_a_file_of_another_form_is_shown_as_it_is(
    document: Any, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "odd.json").write_text(json.dumps(document))
    page = lines_of(tmp_path)
    assert "## Odd { #odd }" in page
    assert expected in page


def test_one_figure_for_each_case_needs_no_headings(tmp_path: Path) -> None:
    noise = row("noise", **{"over bare Python": -1e-4})
    targeted = row("start", **{"over bare Python": 0.2}) | {"notes": {"target": 0.1}}
    write(tmp_path, "startup", targeted, noise)
    page = "\n".join(lines_of(tmp_path))
    assert "| start | 200 ms | 100 ms (100 ms): **missed**, x2.00 |" in page
    assert page.count("<rect") == 1
    assert 'font-weight="bold"' not in page


def test_the_best_tuned_session_is_the_limit_of_inference() -> None:
    runs = next(section for section in read_sections(RESULTS) if section.name == "runtime")
    assert runs.lines
    for line in runs.lines:
        assert line.limit == line.values["ONNX Runtime, best tuned"]


def test_notes_of_every_contender_are_sections_beside_it(tmp_path: Path) -> None:
    seconds = {"ours, warm": 1e-3, "InferenceSession(bytes)": 2e-2}
    notes = {"peak_mb": {"ours, warm": 8.0, "InferenceSession(bytes)": 96.0}}
    write(tmp_path, "load", row("Net", **seconds) | {"notes": notes})
    write(tmp_path, "startup", row("start", **{"over bare Python": 0.2}))
    assert [s.name for s in read_sections(tmp_path)] == ["load", "load-peak_mb", "startup"]
    page = lines_of(tmp_path)
    assert (
        "| Net | 1 ms | 20 ms (x20.00) | 2 ms (a tenth of InferenceSession(bytes)): met |" in page
    )
    assert "## Loading: growth of peak memory { #load-peak_mb }" in page
    assert "| Net | 8 | 96 (x12.00) |" in page


def test_known_files_come_in_their_order() -> None:
    names = [s.name for s in read_sections(RESULTS) if "-" not in s.name]
    assert [name for name in names if name in KNOWN] == [name for name in KNOWN if name in names]
    unknown = [name for name in names if name not in KNOWN]
    assert names[len(names) - len(unknown) :] == sorted(unknown)
