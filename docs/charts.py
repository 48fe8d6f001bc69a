"""Horizontal bar charts as SVG: readable on light and dark pages, without a script or a library.

Text takes the color of the page, so that a theme changes it; bars have colors of medium
lightness, and the label of each says what it is, so that nothing depends on color alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

__all__ = ["Bar", "Group", "bar_chart"]

WIDTH = 760
_LABELS, _FIGURES = 230, 130  # columns left and right of the bars
_ROW, _HEADING, _AXIS = 18, 24, 22
_LOG_FROM = 20.0  # largest over least value from which the scale is logarithmic
_COLORS = {"ours": "#3b82f6", "peer": "#94a3b8", "floor": "#22a06b"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar.

    Attributes:
        label: What it stands for.
        value: Its length, positive.
        text: The figure behind it.
        kind: `ours`, `peer` or `floor`.
    """

    label: str
    value: float
    text: str
    kind: str = "peer"


@dataclass(frozen=True, slots=True)
class Group:
    """Bars under a heading, which may be empty."""

    heading: str
    bars: Sequence[Bar]


class _Scale(NamedTuple):
    """From values to widths.

    Attributes:
        least: Value at the left end.
        most: Value at the right end.
        is_log: Whether it is logarithmic.
    """

    least: float
    most: float
    is_log: bool

    @classmethod
    def over(cls, values: Sequence[float]) -> _Scale:
        """The scale for some values, its ends being round."""
        least, most = min(values), max(values)
        if most / least >= _LOG_FROM:
            ends = math.floor(math.log10(least)), math.ceil(math.log10(most))
            return cls(10.0 ** ends[0], 10.0 ** max(ends[1], ends[0] + 1), True)
        step = _round_step(most)
        return cls(0.0, math.ceil(most / step - 1e-9) * step, False)

    def at(self, value: float) -> float:
        """Where a value lies, in pixels from the left end."""
        if self.is_log:
            share = math.log10(value / self.least) / math.log10(self.most / self.least)
        else:
            share = value / self.most
        return share * (WIDTH - _LABELS - _FIGURES)

    def ticks(self) -> list[float]:
        """Round values to draw lines at."""
        if self.is_log:
            decades = round(math.log10(self.most / self.least))
            return [self.least * 10.0**i for i in range(decades + 1)]
        step = _round_step(self.most)
        return [step * i for i in range(round(self.most / step) + 1)]


def bar_chart(title: str, groups: Sequence[Group], unit: str) -> str:
    """An SVG of all bars, one below the other, with the title and the figures as its text.

    Args:
        title: What is compared, for readers who do not see it.
        groups: The bars; a group's heading stands above its bars.
        unit: Unit of the values, at the axis.

    Raises:
        ValueError: There are no bars, or one is not positive.
    """
    bars = [bar for group in groups for bar in group.bars]
    if not bars or min(bar.value for bar in bars) <= 0:
        msg = f"chart {title!r}: expected bars of positive length, got {[b.value for b in bars]}"
        raise ValueError(msg)
    scale = _Scale.over([bar.value for bar in bars])
    bottom = sum(_HEADING for group in groups if group.heading) + len(bars) * _ROW
    description = "; ".join(map(_described, groups))
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {bottom + _AXIS}" role="img" width="100%" '
            f'style="max-width: {WIDTH}px" font-size="12" font-family="inherit" '
            'fill="currentColor" xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            *_axis(scale, bottom, unit),
            *_bars(groups, scale),
            "</svg>",
        ]
    )


def _described(group: Group) -> str:
    figures = ", ".join(f"{bar.label} {bar.text}" for bar in group.bars)
    return f"{group.heading}: {figures}" if group.heading else figures


def _axis(scale: _Scale, bottom: int, unit: str) -> Iterable[str]:
    for value in scale.ticks():
        x = f"{_LABELS + scale.at(value):.1f}"
        yield (
            f'<line x1="{x}" y1="0" x2="{x}" y2="{bottom}" stroke="currentColor" opacity="0.15"/>'
        )
        yield f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>'
    kind = f"{unit}, log" if scale.is_log else unit
    yield f'<text x="{WIDTH}" y="{bottom + 15}" text-anchor="end">{escape(kind)}</text>'


def _bars(groups: Sequence[Group], scale: _Scale) -> Iterable[str]:
    top = 0
    for group in groups:
        if group.heading:
            yield f'<text x="0" y="{top + 17}" font-weight="bold">{escape(group.heading)}</text>'
            top += _HEADING
        for bar in group.bars:
            width = max(scale.at(bar.value), 1.0)
            y = top + 13
            yield f'<text x="{_LABELS - 6}" y="{y}" text-anchor="end">{escape(bar.label)}</text>'
            yield (
                f'<rect x="{_LABELS}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 5}" '
                f'rx="2" fill="{_COLORS[bar.kind]}"/>'
            )
            yield (f'<text x="{_LABELS + width + 5:.1f}" y="{top + 13}">{escape(bar.text)}</text>')
            top += _ROW


def _round_step(most: float) -> float:
    """A round distance such that there are two to five steps up to `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * part for part in (0.2, 0.5, 1.0, 2.0) if most / (power * part) <= 5)
