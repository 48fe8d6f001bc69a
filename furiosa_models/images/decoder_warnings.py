"""Warnings of decoders: logged with the name of the photo, whatever the filters of the process say.

Pillow warns of what it makes do with (EXIF that is damaged, a palette with transparency, tags that
are cut off). A filter that makes errors of warnings would refuse a photo for that, and a message
without a file's name helps nobody. Filters are the process's, so that what is changed here is as
little as can be: one entry, for the decoders' modules alone, while a photo is being decoded.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..progress import log_warning

__all__ = ["log_decoder_warnings"]

logger = logging.getLogger(__name__)

_DECODERS = r"(PIL|pi_heif|pillow_heif|furiosa_models\.images)(\.|$)"


class _CurrentPhoto(threading.local):
    """The photo that this thread decodes."""

    name: str | None = None


_current = _CurrentPhoto()
_lock = threading.Lock()
_active_threads = 0
_original_showwarning: Callable[..., Any] = warnings.showwarning
_filter = ("always", None, Warning, re.compile(_DECODERS), 0)


@contextmanager
def log_decoder_warnings(name: str) -> Iterator[None]:
    """Log the warnings of decoders in this thread as those of a photo; none raises.

    Args:
        name: What to call the photo.
    """
    before, _current.name = _current.name, name
    _install_filter()
    try:
        yield
    finally:
        _remove_filter()
        _current.name = before


def _install_filter() -> None:
    global _active_threads, _original_showwarning  # as the filters are: the process's
    with _lock:
        _active_threads += 1
        if warnings.showwarning is not _showwarning:
            _original_showwarning, warnings.showwarning = warnings.showwarning, _showwarning
        if _filter not in warnings.filters:
            warnings.filters.insert(0, _filter)  # type: ignore[attr-defined]


def _remove_filter() -> None:
    global _active_threads
    with _lock:
        _active_threads -= 1
        if _active_threads:
            return
        if warnings.showwarning is _showwarning:
            warnings.showwarning = _original_showwarning
        with suppress(ValueError):
            warnings.filters.remove(_filter)  # type: ignore[attr-defined]


def _showwarning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Take the place of `warnings.showwarning`."""
    if _current.name is None:  # of another thread
        _original_showwarning(message, category, *place, **more)
    else:
        log_warning(logger, "image %r: %s", _current.name, message)
