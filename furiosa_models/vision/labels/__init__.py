"""Tables of labels: the name of every class, by class id."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["load_labels"]


@cache
def load_labels(table: str) -> tuple[str, ...]:
    """Names by class id.

    Args:
        table: `imagenet1k` (1000 ILSVRC-2012 classes) or `coco91` (the 91 categories of the COCO
            paper behind `background` at 0, so that class ids are COCO's own category ids).
    """
    path = Path(__file__).with_name(f"{table}.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())
