"""Environment variables that frameworks set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kept_environment"]


@contextmanager
def kept_environment(*names: str) -> Iterator[None]:
    """Restore some environment variables afterwards.

    Args:
        names: Names of the variables.
    """
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
