"""Records of measurements: lines of JSON, which `--record` appends to a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

__all__ = ["append_record", "record"]

record: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    is_flag=False,
    flag_value=Path("records.jsonl"),
    help="Append the figures, with versions and date, to a file of JSON lines; records.jsonl by "
    "default.",
)


def append_record(file: Path, **facts: Any) -> None:
    """Append a record to a file, with date and versions.

    Args:
        file: The file.
        facts: Facts of the record: numbers and texts.
    """
    from ..runtime.machine import full_version

    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line: Mapping[str, Any] = {"date": date, **facts, "versions": full_version()}
    with file.open("a", encoding="utf-8") as opened:
        opened.write(f"{json.dumps(line)}\n")
