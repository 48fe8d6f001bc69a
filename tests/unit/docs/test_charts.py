from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from charts import WIDTH, Line, Series, chart, scatter

SVG = "{http://www.w3.org/2000/svg}"


def line(label: str, **points: float) -> Line:
    return Line(label, {name: (value, value * 0.9, value * 1.1) for name, value in points.items()})


def drawn(*lines: Line, axis: str = "ms", reference: float | None = None) -> str:
    names = dict.fromkeys(name for each in lines for name in each.points)
    series = [Series(name, "ours" if name == "ours" else "peer") for name in names]
    return chart("A & B", series, lines, axis, reference=reference)


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_cases_contenders_and_axis_are_labeled() -> None:
    found = texts(drawn(line("case <1>", ours=2, peer=8), line("other", ours=3)))
    assert {"case <1>", "other", "ours", "peer", "ms"} <= set(found)


def test_text_is_readable_on_a_phone() -> None:
    svg = drawn(line("case", ours=2, peer=8))
    root = ElementTree.fromstring(svg)
    assert [float(n) for n in (root.get("viewBox") or "").split()][2] == WIDTH <= 328
    assert f"min-width: {WIDTH}px" in (root.get("style") or "")
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert len(sizes) == len(texts(svg))
    assert min(sizes) >= 12


@pytest.mark.parametrize(
    ("values", "ticks"), [((2.0, 8.0), {"0", "2", "4"}), ((1.0, 100.0), {"1", "10", "100"})]
)
def test_wide_ranges_get_a_logarithmic_scale(values: tuple[float, float], ticks: set[str]) -> None:
    assert ticks <= set(texts(drawn(line("case", ours=values[0], peer=values[1]))))


@pytest.mark.parametrize("values", [(5.0,), (1.0, 1.0), (0.98, 1.02), (10.0, 1000.0), (0.001, 3e6)])
def test_axis_has_2_to_8_ticks(values: tuple[float, ...]) -> None:
    points = {f"c{i}": value for i, value in enumerate(values)}
    found = texts(drawn(line("case", **points)))
    numbers = [text for text in found if re.fullmatch(r"[\d.e+-]+", text)]
    assert 2 <= len(numbers) <= 8


def test_chart_is_accessible_to_screen_readers() -> None:
    root = ElementTree.fromstring(drawn(line("case <1>", ours=2, peer=8)))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "A & B"
    assert root.findtext(f"{SVG}desc") == "case <1>: ours 2, peer 8"


def test_text_inherits_color_and_font_of_the_page() -> None:
    svg = drawn(line("case", ours=2, peer=8))
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "font-family: inherit" in svg
    assert "<style" not in svg


def test_pages_can_have_many_charts() -> None:
    svg = drawn(line("case", ours=2, peer=8))
    names = re.findall(r' id="([^"]*)"', svg)
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[mp][0-9a-f]+", name) for name in names)
    assert "\n" not in svg  # a blank line would end the HTML block in Markdown


def test_charts_are_deterministic() -> None:
    one = line("case", ours=2, peer=8)
    assert drawn(one, reference=1.0) == drawn(one, reference=1.0)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_chart_without_positive_figures_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="expected positive figures"):
        drawn(line("case", ours=1.0, peer=value))
    with pytest.raises(ValueError, match="expected positive figures"):
        chart("empty", [], [], "ms")


POINTS = {"small <1>": (5.0, 80.0), "close": (6.0, 80.1), "large": (50.0, 90.0)}


def test_points_are_named_and_in_order() -> None:
    svg = scatter("A & B", POINTS, ("ms", "top-1 in %"), highlighted=["large"])
    root = ElementTree.fromstring(svg)
    assert {*POINTS, "ms", "top-1 in %"} <= {*texts(svg)}
    assert root.findtext(f"{SVG}desc") == "small <1>: 5, 80; close: 6, 80.1; large: 50, 90"
    assert svg.count("fill: #3b82f6") == 1  # only one point is highlighted


def test_names_of_close_points_do_not_overlap() -> None:
    svg = scatter("t", POINTS, ("ms", "top-1"))
    rows = {}
    for text in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        if text.text in POINTS:
            rows[text.text] = float(text.get("y") or 0)
    assert rows.keys() == POINTS.keys()
    assert rows["small <1>"] - rows["close"] >= 13 > 0
    assert rows["close"] - rows["large"] > 50
