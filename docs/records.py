"""Recorded speed and accuracy of models: `benchmarks/results/records.jsonl` and `accuracy.jsonl`.

`furiosa-models bench --record` and `verify --record` append to them; the last line about a model
counts.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from furiosa_models import get_model, list_models

__all__ = [
    "Point",
    "accuracy_of",
    "cluster_table",
    "int8_table",
    "metric_of",
    "photos_of",
    "points",
    "speed_of",
]

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
DATASETS = {("val227.csv", 325): "ImageNet-1k val", ("instances.json", 113): "COCO val2017"}
"""What the labels of the records are a part of, by their file and number of photos."""


_CLUSTER_MODEL, _NODE_CPUS = "SSDMobileNetV2", 16
_PHOTO_KB = 148  # mean of 113 photos of COCO val2017


class Point(NamedTuple):
    """A model in a chart of accuracy against speed.

    Attributes:
        name: Name of the model.
        milliseconds: Time of its network for one photo.
        accuracy: Its accuracy, between 0 and 1.
    """

    name: str
    milliseconds: float
    accuracy: float


@cache
def _rows(file: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the last record of each model and precision."""
    lines = (RESULTS / file).read_text().splitlines()
    return {(row["model"], row["precision"]): row for row in map(json.loads, lines)}


def speed_of(name: str, precision: str = "fp32") -> dict[str, Any] | None:
    """Return the record of the speed of a model, or None."""
    return _rows("records.jsonl").get((name, precision))


def accuracy_of(name: str, precision: str = "fp32") -> dict[str, Any] | None:
    """Return the record of the accuracy of a model, or None."""
    return _rows("accuracy.jsonl").get((name, precision))


def photos_of(record: dict[str, Any]) -> str:
    """Return a description of the photos of a record of accuracy."""
    found = DATASETS.get((record["labels"], record["photos"]), record["labels"])
    return f"{record['photos']} photos of {found}"


def metric_of(record: dict[str, Any]) -> str:
    """Return the name of the main metric of a record of accuracy."""
    name: str = next(iter(record["figures"]))
    return name


def points(task: str) -> list[Point]:
    """Return the models of a task whose speed and accuracy were measured, in float32."""
    found = []
    for name in list_models():
        speed, accuracy = speed_of(name), accuracy_of(name)
        if get_model(name).vision_task.name == task and speed and accuracy:
            value = accuracy["figures"][metric_of(accuracy)]
            found.append(Point(name, speed["run_p50_ms"], value))
    return found


def int8_table() -> str:
    """Return a table of the accuracy in both precisions, and of what int8 loses."""
    rows = ["| weights | fp32 | int8 | loss |", "|---|---|---|---|"]
    for name in list_models():
        before, after = accuracy_of(name), accuracy_of(name, "int8")
        if before is None or after is None:
            continue
        metric = metric_of(before)
        old, new = before["figures"][metric], after["figures"][metric]
        loss = f"{1 - new / old:.1%}" if new < old else "none"
        cells = [f"`{name}`/{before['weights']}", f"{metric} {old:.4f}", f"{new:.4f}", loss]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def cluster_table() -> str:
    """Return a calculation of what clusters do, from the recorded throughput of one machine."""
    record = speed_of(_CLUSTER_MODEL)
    assert record is not None
    each = record["streamed_photos_per_second"] / record["threads"]
    rows = [
        f"{_CLUSTER_MODEL} does {each:.1f} photos a second on a CPU ({1000 / each:.0f} ms of a CPU "
        f"for a photo; measured on {record['threads']} CPUs of {record['hardware']}, "
        f"{record['date'][:10]}), and a photo of 640x480 pixels has {_PHOTO_KB} kB:",
        "",
        f"| nodes of {_NODE_CPUS} CPUs | photos a second | photos an hour | reading |",
        "|---:|---:|---:|---:|",
    ]
    for nodes in (1, 10, 100):
        speed = each * (_NODE_CPUS * nodes - 1)  # one CPU reads
        hourly = f"{speed * 3600 / 1e6:.2g} million"
        rows.append(f"| {nodes} | {speed:,.0f} | {hourly} | {speed * _PHOTO_KB / 1000:,.0f} MB/s |")
    return "\n".join(rows)
