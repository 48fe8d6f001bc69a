"""Import of TensorFlow, and its messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._lazy import require
from ..messages import silenced

__all__ = ["first_line", "quiet", "tensorflow"]


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

    Messages of TensorFlow's C++ code on the standard error stream remain.
    """
    with silenced("tensorflow", "tf2onnx", "absl"):
        yield
