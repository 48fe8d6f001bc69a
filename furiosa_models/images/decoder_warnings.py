"""Log the warnings of image decoders under the name of the photo.

Pillow warns about damaged EXIF, truncated tags and the like. A warnings filter that turns warnings
into errors would reject such photos, and a message without a file name is of no use. Filters are
global to the process, so this module changes as little as possible: it adds one filter entry, for
the decoders' modules only, while a photo is being decoded.
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
    """The photo that the current thread decodes."""

    name: str | None = None


_current = _CurrentPhoto()
_lock = threading.Lock()
_active_threads = 0
_original_showwarning: Callable[..., Any] = warnings.showwarning
_filter = ("always", None, Warning, re.compile(_DECODERS), 0)


@contextmanager
def log_decoder_warnings(name: str) -> Iterator[None]:
    """Log the decoders' warnings in this thread as warnings about a photo; never raise them.

    Args:
        name: Name of the photo.
    """
    before, _current.name = _current.name, name
    _install_filter()
    try:
        yield
    finally:
        _remove_filter()
        _current.name = before


def _install_filter() -> None:
    global _active_threads, _original_showwarning  # like the filters, global to the process
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
    """Replace `warnings.showwarning`."""
    if _current.name is None:  # a warning of another thread
        _original_showwarning(message, category, *place, **more)
    else:
        log_warning(logger, "image %r: %s", _current.name, message)
