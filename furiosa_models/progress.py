"""Progress bars of long work: on a terminal or in a notebook, silent elsewhere or when told so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .settings import shows_progress

__all__ = ["Bar", "progress_bar"]


class Bar(Protocol):
    """What a worker tells of its progress."""

    def update(self, n: int = 1) -> object:
        """Say that `n` more units are done."""


class _Silent:
    def update(self, n: int = 1) -> None:
        pass


@contextmanager
def progress_bar(description: str, total: int | None, *, unit: str = "B") -> Iterator[Bar]:
    """A bar that counts bytes (or another unit) up to `total`.

    Args:
        description: What is being done.
        total: Units in all, or None where that is not known.
        unit: Name of the unit; `B` is shown in multiples of 1024, and of work that is measured in
            seconds (`s`) the time that it takes.
    """
    if not (shows_progress() and (_on_terminal() or _in_notebook())):
        yield _Silent()
        return
    from tqdm.auto import tqdm

    scaled = unit == "B"
    form = "{desc}: {elapsed}" if unit == "s" and total is None else None
    with tqdm(
        desc=description,
        total=total,
        unit=unit,
        unit_scale=scaled,
        unit_divisor=1024,
        bar_format=form,
    ) as bar:
        yield bar


def _on_terminal() -> bool:
    """Whether there is a terminal: an application without a console has no `sys.stderr` at all."""
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, OSError, ValueError):  # None, no file at all, or closed
        return False


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
