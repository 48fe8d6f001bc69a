"""`predict(stream=True)` over JPEG files beside the bare network, and its memory over many photos.

Give a model's name and a folder to measure another one: `stream.py SSDMobileNet photos/`.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import common

common.enter()

import scenes

from furiosa_models.catalog import get_model

ROUNDS = 3
PHOTOS = 500
MANY = 5000


def seconds(work: Iterable[object]) -> float:
    """Seconds until all results are there."""
    start = time.perf_counter()
    for _ in work:
        pass
    return time.perf_counter() - start


def resident() -> int:
    """Bytes that the process holds now; its peak where the system does not say."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure and report."""
    name = sys.argv[1] if len(sys.argv) > 1 else "SSDMobileNet"
    one = str(scenes.photo("VGA"))
    photos = sorted(map(str, Path(sys.argv[2]).glob("*.jpg"))) if sys.argv[2:] else [one]
    few = (photos * PHOTOS)[:PHOTOS]
    with get_model(name, weights="random") as model:
        options: dict[str, Any] = {"device": "cpu", "score_threshold": 0.9}
        runner = model._runner("cpu")
        tensor, _ = model.preprocess([photos[0]])
        contenders: dict[str, Callable[[], Iterable[object]]] = {
            "predict(stream=True)": lambda: model.predict(few, stream=True, **options),
            "session.run alone": lambda: (runner.run(tensor) for _ in few),
            "predict, one by one": lambda: (model.predict(photo, **options) for photo in few),
        }
        best = dict.fromkeys(contenders, float("inf"))
        for _ in range(ROUNDS):
            for contender, work in contenders.items():
                best[contender] = min(best[contender], seconds(work()) / len(few))
        memory = {}
        many = (photos * MANY)[:MANY]
        for done, _ in enumerate(model.predict(many, stream=True, **options), 1):
            if done in (100, 500, 1000, 2000, MANY):
                memory[done] = resident()
                print(f"{done} photos: {memory[done] / 1e6:.0f} MB", flush=True)
    ratio = best["session.run alone"] / best["predict(stream=True)"]
    print(f"throughput over that of the bare network: {ratio:.3f} (target 0.85)")
    notes = {"throughput_ratio": ratio, "resident_bytes": memory}
    common.report("stream", "Throughput, per photo", [common.Row(f"{name} VGA", best, notes=notes)])


main()
