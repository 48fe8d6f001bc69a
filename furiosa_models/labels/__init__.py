"""Tables of labels: the name of every class, by class id."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["load_labels"]


@cache
def load_labels(table: str) -> tuple[str, ...]:
    """Names by class id.

    Args:
        table: Name of a table.

            | table | classes |
            |---|---|
            | `imagenet1k` | the 1000 of ILSVRC-2012 |
            | `coco80` | the 80 of COCO's annotations, in order |
            | `coco81` | those behind `background` at 0 |
            | `coco91` | the 91 of the COCO paper behind `background`: COCO's category ids |
            | `bdd100k` | the 10 of BDD100K's detection task |
    """
    path = Path(__file__).with_name(f"{table}.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())
