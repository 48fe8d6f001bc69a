"""Progress bars, shown on terminals and in notebooks unless disabled."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from .settings import shows_progress

if TYPE_CHECKING:
    import logging
    from typing import TextIO

__all__ = ["Bar", "in_notebook", "is_terminal", "log_warning", "progress_bar"]


class Bar(Protocol):
    """Receives the progress of a job."""

    def update(self, n: int = 1) -> object:
        """Add `n` completed units."""


class _Silent:
    def update(self, n: int = 1) -> None:
        pass


def log_warning(logger: logging.Logger, message: str, *arguments: object) -> None:
    """Log a warning; drop it if its output stream was closed.

    Args:
        logger: The logger.
        message: Format string with `%`.
        arguments: Values for the format string.
    """
    with suppress(ValueError):  # raised by logging for a closed stream
        logger.warning(message, *arguments)


@contextmanager
def progress_bar(description: str, total: int | None, *, unit: str = "B") -> Iterator[Bar]:
    """Show a progress bar that counts bytes or another unit up to `total`.

    Args:
        description: Description of the job.
        total: Total number of units, or None if unknown.
        unit: Name of the unit. `B` is displayed in multiples of 1024; for `s` the elapsed time is
            shown.
    """
    if not (shows_progress() and (is_terminal(sys.stderr) or in_notebook())):
        yield _Silent()
        return
    from tqdm import TqdmWarning

    with warnings.catch_warnings():  # without ipywidgets, a notebook shows bars as text
        warnings.simplefilter("ignore", TqdmWarning)
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


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal. Applications without a console have no streams."""
    try:
        return stream is not None and bool(stream.isatty())
    except (AttributeError, OSError, ValueError):  # None, not a file, or closed
        return False


def in_notebook() -> bool:
    """Return whether this process is a notebook kernel."""
    return "ipykernel" in sys.modules
