"""HTML views for notebooks: a small picture and a table."""

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

_SIDE = 1024  # pixels; notebooks store every picture that they show
_QUALITY = 85
_ROWS = 20


def picture_and_table(
    title: str, picture: PILImage | None, rows: Sequence[Mapping[str, Any]], note: str | None = None
) -> str:
    """Return a result as HTML.

    Args:
        title: One-line title.
        picture: The annotated photo, if there is one.
        rows: Items found, as dictionaries.
        note: Why there is no picture.
    """
    shown = _image(picture) if picture is not None else ""
    caption = f"<p><em>{html.escape(note)}</em></p>" if note else ""
    return f"<div><p>{html.escape(title)}</p>{shown}{caption}{table(rows)}</div>"


def table(rows: Sequence[Mapping[str, Any]], *, max_rows: int = _ROWS) -> str:
    """Return dictionaries with the same keys as an HTML table.

    Args:
        rows: The dictionaries; nested dictionaries are left out.
        max_rows: Maximum number of rows; a line states how many more there are.
    """
    if not rows:
        return ""
    names = [name for name, value in rows[0].items() if not isinstance(value, Mapping)]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(_row(row.get(name) for name in names) for row in islice(rows, max_rows))
    rest = f"<p>and {len(rows) - max_rows} more</p>" if len(rows) > max_rows else ""
    return f"<table><tr>{head}</tr>{body}</table>{rest}"


def facts(title: str, values: Mapping[str, Any]) -> str:
    """Return names and values as an HTML table, one per line."""
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
    """Return a picture as an HTML image, reduced in size."""
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, format="JPEG", quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="" style="max-width: 100%" src="data:image/jpeg;base64,{data}"/>'
