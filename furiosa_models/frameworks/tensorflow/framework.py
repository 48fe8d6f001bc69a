"""Import of TensorFlow, and its messages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._lazy import require

__all__ = ["first_line", "quiet", "tensorflow"]

_LOGGERS = ("tensorflow", "tf2onnx", "absl")


def tensorflow(purpose: str) -> Any:
    """Return the module `tensorflow`.

    Args:
        purpose: What needs it, as the beginning of a sentence: `"running x.pb"`.

    Raises:
        ExtraRequired: It is not installed.
    """
    return require("tensorflow", f"{purpose} needs TensorFlow", extra="tensorflow")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; those of TensorFlow contain whole graphs."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and log messages of TensorFlow: they are about its own parts, or in errors.

    Levels and filters are as before afterwards. Messages of TensorFlow's C++ code on the standard
    error stream remain.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
