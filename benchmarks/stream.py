"""Throughput of `predict(stream=True)` relative to the network alone, and its memory use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import photos
from common import QUICK, Contender, Goal, Row, Table, interleave, memory, run, timed

from furiosa_models import get_model
from furiosa_models.runtime.sync import create_runner

STREAM, ALONE, SINGLY = "predict(stream=True)", "network alone", "predict, one by one"
CONTENDERS = (
    Contender(STREAM, "ours"),
    Contender(SINGLY, "ours"),
    Contender(ALONE, "baseline", about="one runner with all CPUs, one by one"),
)
CASES = (("SSDMobileNet", 140, 0.92), ("YOLOv5s", 28, 0.97))
"""Model, number of photos, and goal: throughput relative to that of the network alone."""

OPTIONS: dict[str, Any] = {"device": "cpu", "score_threshold": 0.9}
COUNTS = (50, 100) if QUICK else (100, 500, 1000, 2000)


def row(name: str, count: int, share: float) -> Row:
    """Measure one model on `count` photos; `share` is the goal for the throughput."""
    paths = (photos.group("VGA") * count)[:count]
    with get_model(name, weights="random") as model, create_runner(model, device="cpu") as runner:
        tensor, _ = model.preprocess(paths[0])
        works: dict[str, Callable[[], Iterable[object]]] = {
            STREAM: lambda: model.predict(paths, stream=True, **OPTIONS),
            ALONE: lambda: (runner.run(tensor) for _ in paths),
            SINGLY: lambda: (model.predict(path, **OPTIONS) for path in paths),
        }
        turns = {
            way: timed(lambda work=work: exhaust(work()), items=count)  # type: ignore[misc]
            for way, work in works.items()
        }
        samples = interleave(turns, seconds=8)
    text = f"a stream has {share:g} of the throughput of the network alone"
    return Row(name, samples, [Goal(text, STREAM, ALONE, 1 / share)])


def exhaust(results: Iterable[object]) -> None:
    """Consume all results."""
    for _ in results:
        pass


def growth() -> Row:
    """Measure the memory of the process after several numbers of photos of one stream."""
    paths = photos.group("VGA")
    many = (paths * (COUNTS[-1] // len(paths) + 1))[: COUNTS[-1]]
    found: dict[str, list[float]] = {}
    with get_model("SSDMobileNet", weights="random") as model:
        for done, _ in enumerate(model.predict(many, stream=True, **OPTIONS), 1):
            if done in COUNTS:
                found[f"after {done}"] = [memory("VmRSS") / 1e6]
    return Row("SSDMobileNet", found)


def measure() -> Iterator[Table]:
    """Measure throughput and memory."""
    yield Table(
        "stream",
        "Many photos",
        "Time per photo from JPEG files of about 640 x 480 pixels to results, on all CPUs, "
        "compared with the network alone; random weights.",
        CONTENDERS,
        [row(*case) for case in CASES],
    )
    yield Table(
        "stream_memory",
        "Memory over many photos",
        "Memory of the process after the given number of photos of one stream.",
        [Contender(f"after {count}", "ours") for count in COUNTS],
        [growth()],
        unit="MB",
    )


if __name__ == "__main__":
    run(measure)
