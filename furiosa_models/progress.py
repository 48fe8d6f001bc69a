"""Progress bars of long work: on a terminal or in a notebook, silent elsewhere or when told so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from .settings import shows_progress

if TYPE_CHECKING:
    import logging

__all__ = ["Bar", "in_notebook", "log_warning", "progress_bar"]


class Bar(Protocol):
    """What a worker tells of its progress."""

    def update(self, n: int = 1) -> object:
        """Say that `n` more units are done."""


class _Silent:
    def update(self, n: int = 1) -> None:
        pass


def log_warning(logger: logging.Logger, message: str, *arguments: object) -> None:
    """Log a line, and lose it where the process has closed the stream that it would go to.

    Args:
        logger: Whose line it is.
        message: The line, with `%`.
        arguments: What is put in.
    """
    with suppress(ValueError):  # logging itself raises it
        logger.warning(message, *arguments)


@contextmanager
def progress_bar(description: str, total: int | None, *, unit: str = "B") -> Iterator[Bar]:
    """A bar that counts bytes (or another unit) up to `total`.

    Args:
        description: What is being done.
        total: Units in all, or None where that is not known.
        unit: Name of the unit; `B` is shown in multiples of 1024, and of work that is measured in
            seconds (`s`) the time that it takes.
    """
    if not (shows_progress() and (_on_terminal() or in_notebook())):
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


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules
