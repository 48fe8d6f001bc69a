"""Best-effort locks: they spare a second download, and nothing depends on them.

What is written is renamed into place whole and named by its hash, so that two writers at once do
no harm. A lock may therefore be given up: where the file system has none, and where its holder
takes too long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["PATIENCE_S", "best_effort_lock"]

logger = logging.getLogger(__name__)

PATIENCE_S = 3600.0
"""How long to wait for another process before doing its work a second time."""


@contextmanager
def best_effort_lock(path: Path) -> Iterator[bool]:
    """Hold the lock if that can be had; gives whether it is held, and never fails.

    The operating system frees the lock of a process that dies.

    Args:
        path: The lock's file; its folder is made.
    """
    lock = FileLock(path)
    held = _acquire(lock, path)
    try:
        yield held
    finally:
        if held:
            lock.release()


def _acquire(lock: FileLock, path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE_S)
    except Timeout:
        logger.warning("%s is held for longer than %.0f s: going on without it", path, PATIENCE_S)
        return False
    except (OSError, NotImplementedError) as error:
        logger.info("no lock %s (%s): going on without it", path, error)
        return False
    return True
