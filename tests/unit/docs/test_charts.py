from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from charts import Bar, Group, bar_chart

SVG = "{http://www.w3.org/2000/svg}"


def widths(svg: str) -> list[float]:
    return [
        float(rect.get("width") or 0) for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")
    ]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def one(*values: float) -> str:
    bars = [Bar(f"bar {i}", value, f"{value:g} ms") for i, value in enumerate(values)]
    return bar_chart("A & B", [Group("case <1>", bars)], "ms")


def test_bars_are_as_long_as_their_values() -> None:
    short, long = widths(one(2, 8))
    assert long == pytest.approx(4 * short)
    assert "0" in texts(one(2, 8))


def test_far_apart_values_get_a_logarithmic_scale() -> None:
    found = widths(one(2, 20, 200))
    first, second = (later - earlier for earlier, later in pairwise(found))
    assert first == pytest.approx(second, abs=0.11)
    assert "ms, log" in texts(one(2, 20, 200))


@pytest.mark.parametrize("values", [(5.0,), (1.0, 1.0), (10.0, 100.0, 1000.0), (0.001, 3e6)])
def test_bars_and_ticks_stay_inside(values: tuple[float, ...]) -> None:
    svg = one(*values)
    root = ElementTree.fromstring(svg)
    lines = [float(line.get("x1") or 0) for line in root.iter(f"{SVG}line")]
    assert 1 <= min(widths(svg)) <= max(widths(svg)) <= max(lines) - min(lines) + 0.1
    assert 2 <= len(lines) <= 12
    assert lines == sorted(lines)


def test_it_can_be_read_without_seeing_it() -> None:
    root = ElementTree.fromstring(one(2, 8))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "A & B"
    assert root.findtext(f"{SVG}desc") == "case <1>: bar 0 2 ms, bar 1 8 ms"


def test_text_has_the_color_of_the_page_and_bars_that_of_their_kind() -> None:
    bars = [Bar(kind, 1, "1", kind) for kind in ("ours", "peer", "floor")]
    root = ElementTree.fromstring(bar_chart("kinds", [Group("", bars)], "s"))
    assert root.get("fill") == "currentColor"
    assert all(text.get("fill") is None for text in root.iter(f"{SVG}text"))
    assert len({rect.get("fill") for rect in root.iter(f"{SVG}rect")}) == 3


def test_the_same_data_give_the_same_chart() -> None:
    assert one(1, 2, 3) == one(1, 2, 3)


@pytest.mark.parametrize("values", [(), (0.0, 1.0), (-1.0,)])
def test_no_bars_or_none_to_draw(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected bars of positive length"):
        one(*values)
