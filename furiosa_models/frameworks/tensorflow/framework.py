"""Import of TensorFlow, and its messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._lazy import require
from ..messages import silenced

__all__ = ["quiet", "tensorflow"]


def tensorflow(purpose: str) -> Any:
    """Return the module `tensorflow`.

    Args:
        purpose: What needs it, as the beginning of a sentence: `"running x.pb"`.

    Raises:
        ExtraRequired: It is not installed.
    """
    return require("tensorflow", f"{purpose} needs TensorFlow", extra="tensorflow")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and log messages of TensorFlow, which are about its own parts."""
    with silenced("tensorflow", "tf2onnx", "absl"):
        yield
