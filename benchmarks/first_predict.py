"""Wall time and peak memory of each model's first `predict`, with warm caches.

A new process imports the package, creates the model and runs it on one photo. Models whose weights
are unreachable run with random weights from an ONNX file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import QUICK, ROOT, Contender, Row, Table, answer, memory, once, run

PHOTO = str(ROOT / "examples" / "images" / "astronaut.png")
ROUNDS = 1 if QUICK else 3
OURS = "predict"


def reachable(name: str, folder: Path) -> str:
    """Return the name of a reachable set of weights, or an ONNX file with random weights."""
    from furiosa_models import get_model

    for weights in get_model(name).available_weights():
        if weights != "published":
            return weights
    path = folder / f"{name}.onnx"
    path.write_bytes(get_model(name, weights="random").origin)
    return str(path)


def predict(name: str, weights: str) -> None:
    """Predict once, and report the seconds and the peak memory in MB."""
    start = time.perf_counter()
    from furiosa_models import get_model

    get_model(name, weights=weights).predict(PHOTO, device="cpu")
    # Not `getrusage`: its peak survives `exec`, so it may be that of the parent process.
    answer({"seconds": time.perf_counter() - start, "mb": memory("VmHWM") / 1e6})


def measure() -> Iterator[Table]:
    """Measure every model."""
    from furiosa_models import list_models

    rows: dict[str, list[Row]] = {"seconds": [], "mb": []}
    with tempfile.TemporaryDirectory() as folder:
        for name in list_models():
            weights = reachable(name, Path(folder))
            once("predict", name, weights)  # warms the caches
            rounds = [once("predict", name, weights) for _ in range(ROUNDS)]
            case = f"{name} ({'random' if weights.endswith('.onnx') else weights})"
            for figure, found in rows.items():
                found.append(Row(case, {OURS: [r[figure] for r in rounds]}))
    contender = Contender(OURS, "ours")
    yield Table(
        "first_predict",
        "The first prediction",
        "Time of the first `predict` of a new process, with warm caches: import, creation of the "
        "model, one photo (512 x 512), results.",
        (contender,),
        rows["seconds"],
    )
    yield Table(
        "first_predict_memory",
        "Memory of the first prediction",
        "The peak memory of the same process.",
        (contender,),
        rows["mb"],
        unit="MB",
    )


if __name__ == "__main__":
    run(measure, {"predict": predict})
