"""Views for notebooks: a small picture, and a table beneath it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["facts", "picture_and_table", "table"]

_SIDE = 1024  # pixels: a notebook keeps every picture that it shows
_QUALITY = 85
_ROWS = 20


def picture_and_table(
    title: str, picture: PILImage | None, rows: Sequence[Mapping[str, Any]], note: str | None = None
) -> str:
    """Return a result as HTML.

    Args:
        title: What it is, in a line.
        picture: The photo with the result drawn on it, if there is one.
        rows: What was found, a dictionary each.
        note: Why there is no picture.
    """
    shown = _image(picture) if picture is not None else ""
    said = f"<p><em>{html.escape(note)}</em></p>" if note else ""
    return f"<div><p>{html.escape(title)}</p>{shown}{said}{table(rows)}</div>"


def table(rows: Sequence[Mapping[str, Any]], *, max_rows: int = _ROWS) -> str:
    """Return dictionaries of the same keys as a table in HTML.

    Args:
        rows: The dictionaries; what is a dictionary in them is left out.
        max_rows: Rows that are shown; a line says how many there are more.
    """
    if not rows:
        return ""
    names = [name for name, value in rows[0].items() if not isinstance(value, Mapping)]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(_row(row.get(name) for name in names) for row in islice(rows, max_rows))
    rest = f"<p>and {len(rows) - max_rows} more</p>" if len(rows) > max_rows else ""
    return f"<table><tr>{head}</tr>{body}</table>{rest}"


def facts(title: str, values: Mapping[str, Any]) -> str:
    """Return what there is to say of one thing as HTML, a line each."""
    lines = "".join(_row(pair) for pair in values.items())
    return f"<div><p><b>{html.escape(title)}</b></p><table>{lines}</table></div>"


def _row(cells: Iterable[Any]) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(_text(cell))}</td>" for cell in cells) + "</tr>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"{v:.0f}" if isinstance(v, float) else str(v) for v in value)
    return str(value)


def _image(picture: PILImage) -> str:
    """A picture within a page, no larger than is of use there."""
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, format="JPEG", quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="" style="max-width: 100%" src="data:image/jpeg;base64,{data}"/>'
