"""Figures of a run by the names of Focoos, as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..output import replace_file
from ..tasks.base import VisionTask

__all__ = ["focoos_figures", "write_figures"]

_PREFIXES: Mapping[str, str] = MappingProxyType(
    {"detection": "bbox", "keypoint": "keypoints", "classification": "classification"}
)
_FIGURES: Mapping[str, str] = MappingProxyType({"mAP": "AP", "mAP50": "AP50"})


def focoos_figures(figures: Mapping[str, float], task: VisionTask[Any]) -> dict[str, float]:
    """Return figures by the names of Focoos, in percent: `bbox/AP`."""
    name = str(getattr(task.task, "value", task.name))
    prefix = _PREFIXES.get(name, name)
    return {f"{prefix}/{_FIGURES.get(key, key)}": 100 * value for key, value in figures.items()}


def write_figures(folder: Path, figures: Mapping[str, float], task: VisionTask[Any]) -> None:
    """Write the figures of an evaluation to `metrics.json`, with those of earlier ones."""
    path = folder / "metrics.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    entries.append(focoos_figures(figures, task))
    replace_file(path, json.dumps(entries, indent=1).encode())
