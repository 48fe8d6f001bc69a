"""Output of tables and of JSON."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import click

from ..progress import is_terminal

__all__ = ["print_json", "print_table", "short"]

_GAP = "  "
_MIN_COLUMN_WIDTH = 4


def short(error: BaseException) -> str:
    """Return an error as one line: the first line, and the reasons in the following lines."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    if not rest:
        return first
    ends = [line for line in rest if line.startswith("  ") and not line.endswith(":")]
    reasons = [line.rpartition(": ")[2] for line in ends if ": " in line]
    why = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    return f"{first.rstrip(':')}{why}. Set FURIOSA_MODELS_TRACEBACK=1 for details."


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under column names: wrapped to fit a terminal, unwrapped into a pipe."""
    table = [columns, *rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    if is_terminal(sys.stdout):
        widths = fitted(widths, shutil.get_terminal_size().columns)
    for number, row in enumerate(table):
        for line in _lines(row, widths):
            click.echo(click.style(line, bold=True) if number == 0 else line)


def fitted(widths: Sequence[int], available: int) -> list[int]:
    """Shrink the widest columns until the table fits into a line.

    Args:
        widths: Widths of the columns' contents.
        available: Characters in a line.
    """
    found = list(widths)
    excess = sum(found) + len(_GAP) * (len(found) - 1) - available
    while excess > 0 and max(found) > _MIN_COLUMN_WIDTH:
        found[found.index(max(found))] -= 1
        excess -= 1
    return found


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    """Yield the lines of a row, with each cell wrapped within its column."""
    wrapped = [
        textwrap.wrap(cell, width) if len(cell) > width else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    for cells in zip_longest(*wrapped, fillvalue=""):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield _GAP.join(padded).rstrip()
