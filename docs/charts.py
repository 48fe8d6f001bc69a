"""SVG charts of benchmark figures: one line for each case, one marker for each contender.

Matplotlib draws the charts at the width of a small phone, and pages never scale them down. Texts
remain SVG texts in the font and color of the page, so that they follow its theme. Each contender
has its own marker, because readers may not distinguish colors. A table next to the chart contains
all figures.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

__all__ = ["WIDTH", "Line", "Series", "chart", "scatter"]

WIDTH = 328
"""Width in pixels: what a page can use on a phone that is 360 pixels wide."""

_FONT = 13.0
_LEGEND, _ROW, _AXIS = 18.0, 38.0, 40.0
_GAP = 6.0  # below the legend
_SCATTER_HEIGHT, _VERTICAL_AXIS = 260.0, 52.0
_MARGIN = 10.0
_TEXT = "#010203"  # placeholder for the color of the page
_LOG_SCALE_RATIO = 20.0  # ratio of maximum to minimum from which the scale is logarithmic
_OURS, _FLOOR, _BASELINE = "#3b82f6", "#22a06b", "#8b949e"
_PEERS = ("#d9480f", "#b5179e", "#c98a00", "#7048e8", "#0b7285", "#a61e4d", "#66800b", "#5f3dc4")
_MARKERS = "oD^vP*X<>phd"


@dataclass(frozen=True, slots=True)
class Series:
    """A contender.

    Attributes:
        name: Name of the contender.
        kind: `ours`, `peer`, `baseline` or `floor`.
    """

    name: str
    kind: str = "peer"


@dataclass(frozen=True, slots=True)
class Line:
    """A case.

    Attributes:
        label: Name of the case.
        points: Figure of each contender, with the lower and upper end of its noise; all positive.
    """

    label: str
    points: Mapping[str, tuple[float, float, float]]


def chart(
    title: str,
    series: Sequence[Series],
    lines: Sequence[Line],
    axis: str,
    *,
    reference: float | None = None,
) -> str:
    """Return a chart as SVG, with a line for each case and a marker for each figure.

    Args:
        title: Title of the chart for screen readers.
        series: Contenders, in the order of the legend.
        lines: Cases, from top to bottom.
        axis: Label of the axis.
        reference: Value to mark with a vertical line.

    Raises:
        ValueError: There are no figures, or a figure is not positive.
    """
    ends = [end for line in lines for point in line.points.values() for end in point]
    if not ends or min(ends) <= 0:
        msg = f"chart {title!r}: expected positive figures, got {sorted(ends)[:3]}"
        raise ValueError(msg)
    shown = [one for one in series if any(one.name in line.points for line in lines)]
    height = _LEGEND * len(shown) + _GAP + _ROW * len(lines) + _AXIS + 2 * _MARGIN
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": _FONT}):
        figure = Figure((WIDTH / 72, height / 72), dpi=72)
        figure.patch.set_alpha(0.0)
        bottom = (_AXIS + _MARGIN) / height
        plot = figure.add_axes(
            (
                _MARGIN / WIDTH,
                bottom,
                1 - 2 * _MARGIN / WIDTH,
                _ROW * len(lines) / height,
            )
        )
        _scale(plot, ends if reference is None else [*ends, reference], axis)
        _draw(plot, shown, lines, reference)
        _legend(figure, shown, height)
        image = io.BytesIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(image.getvalue().decode(), title, _description(shown, lines))


def scatter(
    title: str,
    points: Mapping[str, tuple[float, float]],
    axes: tuple[str, str],
    *,
    highlighted: Collection[str] = (),
) -> str:
    """Return a chart as SVG with a named point for each model.

    Args:
        title: Title of the chart for screen readers.
        points: Position of each point by name; positions on the horizontal axis are positive.
        axes: Labels of the horizontal and of the vertical axis.
        highlighted: Names of the points to highlight; all by default.
    """
    height = _SCATTER_HEIGHT
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": _FONT}):
        figure = Figure((WIDTH / 72, height / 72), dpi=72)
        figure.patch.set_alpha(0.0)
        left, bottom = _VERTICAL_AXIS / WIDTH, _AXIS / height
        plot = figure.add_axes((left, bottom, 1 - left - 0.02, 1 - bottom - 0.05))
        across = [x for x, _ in points.values()]
        _scale(plot, across, axes[0], logarithmic=True)
        # Names are written to the right of their points.
        plot.set_xlim(min(across) / 1.2, max(across) * (max(across) / min(across)) ** 0.7 * 1.5)
        for side in ("left", "bottom"):
            plot.spines[side].set_visible(True)
            plot.spines[side].set_color(_BASELINE)
        plot.margins(y=0.12)
        plot.set_ylabel(axes[1], color=_TEXT)
        for name, (x, y) in points.items():
            color = _OURS if not highlighted or name in highlighted else _BASELINE
            plot.plot(x, y, "o", color=color, markersize=8.0)
        plot.set_ylim(*plot.get_ylim())  # now, because names are placed by it
        _write_names(plot, points)
        plot.yaxis.set_major_locator(MaxNLocator(5))
        plot.tick_params(axis="y", colors=_TEXT, labelsize=_FONT)
        image = io.BytesIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    description = "; ".join(f"{name}: {x:.3g}, {y:.3g}" for name, (x, y) in points.items())
    return _inline(image.getvalue().decode(), title, description)


def _write_names(plot: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write the name of each point beside it, moved up where it would hide the one below."""
    last: dict[str, float] = {}
    for name, (x, y) in sorted(points.items(), key=lambda item: item[1][1]):
        row = plot.transData.transform((x, y))[1]
        row = max(row, max(last.values(), default=-math.inf) + 1.2 * _FONT)
        last[name] = row
        place = plot.transData.inverted().transform((0, row))[1]
        plot.annotate(
            name,
            (x, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=_TEXT,
        )


def _styles(series: Sequence[Series]) -> dict[str, tuple[str, str]]:
    """Return the color and the marker of each contender by name."""
    colors = iter(_PEERS * len(series))
    fixed = {"ours": _OURS, "floor": _FLOOR, "baseline": _BASELINE}
    return {
        one.name: (fixed.get(one.kind) or next(colors), _MARKERS[index % len(_MARKERS)])
        for index, one in enumerate(series)
    }


def _draw(
    plot: Axes, series: Sequence[Series], lines: Sequence[Line], reference: float | None
) -> None:
    styles = _styles(series)
    plot.set_ylim(len(lines), 0)
    if reference is not None:
        plot.axvline(reference, color=_OURS, linewidth=1.2)
    for row, line in enumerate(lines):
        plot.text(0.0, row + 0.33, line.label, transform=plot.get_yaxis_transform(), color=_TEXT)
        plot.axhline(row + 0.7, color=_BASELINE, linewidth=0.5, alpha=0.5)
        for one in reversed(series):  # so that ours is drawn last, on top
            if one.name in line.points:
                middle, low, high = line.points[one.name]
                color, marker = styles[one.name]
                plot.plot((low, high), (row + 0.7,) * 2, color=color, linewidth=2.0, alpha=0.5)
                plot.plot(middle, row + 0.7, marker, color=color, markersize=8.0)


def _legend(figure: Figure, series: Sequence[Series], height: float) -> None:
    styles = _styles(series)
    legend = figure.add_axes(
        (0, 1 - (_LEGEND * len(series) + _MARGIN) / height, 1, _LEGEND * len(series) / height)
    )
    legend.set_axis_off()
    legend.set_xlim(0, WIDTH)
    legend.set_ylim(len(series), 0)
    for index, one in enumerate(series):
        color, marker = styles[one.name]
        legend.plot(_MARGIN + 6, index + 0.5, marker, color=color, markersize=8.0, clip_on=False)
        legend.text(_MARGIN + 18, index + 0.75, one.name, color=_TEXT)


def _scale(plot: Axes, values: Sequence[float], label: str, *, logarithmic: bool = False) -> None:
    minimum, maximum = min(values), max(values)
    plot.patch.set_alpha(0.0)
    for side in ("left", "right", "top"):
        plot.spines[side].set_visible(False)
    plot.spines["bottom"].set_color(_BASELINE)
    plot.tick_params(axis="x", colors=_TEXT, labelsize=_FONT)
    plot.set_yticks([])
    if logarithmic or maximum / minimum >= _LOG_SCALE_RATIO:
        plot.set_xscale("log")
        plot.set_xlim(minimum / 1.15, maximum * 1.15)
        ticks = _decades(minimum, maximum)
    else:
        start = 0.0 if maximum / minimum > 4 else minimum - 0.08 * (maximum - minimum or minimum)
        plot.set_xlim(start, maximum + 0.05 * (maximum - start))
        step = _step(maximum - start)
        first = math.ceil(start / step)
        ticks = [step * i for i in range(first, math.floor(maximum / step) + 1)]
    plot.xaxis.set_major_locator(FixedLocator(ticks))
    plot.xaxis.set_minor_locator(NullLocator())
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plot.set_xlabel(label, color=_TEXT)


def _decades(minimum: float, maximum: float) -> list[float]:
    """Return the ticks of a logarithmic axis: powers of 10, and 2 and 5 times them if they fit."""
    powers = range(math.floor(math.log10(minimum)), math.ceil(math.log10(maximum)) + 1)
    parts = (1, 2, 5) if len(powers) <= 3 else (1,)
    ticks = [part * 10.0**power for power in powers for part in parts]
    visible = [tick for tick in ticks if minimum / 1.1 <= tick <= maximum * 1.1]
    return visible[:: max(1, round(len(visible) / 6))]


def _step(length: float) -> float:
    """Return a round distance between ticks, such that about three to five fit into a length."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(power * part for part in (0.2, 0.5, 1.0, 2.0, 5.0) if length / (power * part) <= 5)


def _description(series: Sequence[Series], lines: Sequence[Line]) -> str:
    names = [one.name for one in series]
    return "; ".join(
        f"{line.label}: "
        + ", ".join(f"{name} {line.points[name][0]:.3g}" for name in names if name in line.points)
        for line in lines
    )


def _inline(svg: str, title: str, description: str) -> str:
    """Return an SVG to embed in a page: without prolog, styles, and ids that could occur twice."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(style|metadata).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?![mp][0-9a-f]{8})[^"]*"', "", svg)
    svg = svg.replace(_TEXT, "currentColor")
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    head, _, rest = svg.partition(">")
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    opening = (
        f'<svg {view[0]} role="img" width="100%" style="min-width: {WIDTH}px; max-width: 480px" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    texts = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return "".join(part for part in (opening, texts, re.sub(r"\s+", " ", rest))).strip()
