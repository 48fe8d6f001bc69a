"""Wall time and peak memory of each model's first `predict` with warm caches.

A fresh process imports the package, makes the model and runs it on one photo; the minimum of the
rounds counts. Models whose weights are unreachable run with random ones, from an ONNX file. The
table is kept in `docs/first_predict.json`, from which the documentation shows it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from furiosa_models import get_model, list_models
from furiosa_models.runtime.machine import cpu_name

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "images" / "astronaut.png"
ROUNDS = 3

SCRIPT = """
import json, re, sys, time
start = time.perf_counter()
from furiosa_models import get_model
model = get_model(sys.argv[1], weights=sys.argv[2])
model.predict(sys.argv[3], device="cpu")
elapsed = time.perf_counter() - start
# Not getrusage: what it says of memory outlives exec, so that it may be the parent's.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(json.dumps({"seconds": elapsed, "peak_mb": peak / 1024}))
"""


def measure(name: str, weights: str) -> dict[str, float]:
    """The best round's seconds and peak memory."""
    command = [sys.executable, "-c", SCRIPT, name, weights, str(PHOTO)]
    subprocess.run(command, check=True, capture_output=True)  # warms the caches
    rounds = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(ROUNDS)
    ]
    return {key: min(row[key] for row in rounds) for key in rounds[0]}


def reachable(name: str, folder: Path) -> str:
    """A set of weights that can be had here, or an ONNX file with random ones."""
    for weights in get_model(name).available_weights():
        if weights != "published":
            return weights
    path = folder / f"{name}.onnx"
    path.write_bytes(get_model(name, weights="random").origin)
    return str(path)


def main() -> None:
    """Measure every model, print a table, and keep it."""
    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in list_models():
            weights = reachable(name, Path(folder))
            shown = "random" if weights.endswith(".onnx") else weights
            rows.append({"model": name, "weights": shown, **measure(name, weights)})
            print("{model:20} {weights:12} {seconds:7.3f} s {peak_mb:7.0f} MB".format(**rows[-1]))
    machine = {"cpus": os.cpu_count(), "processor": cpu_name(), "python": platform.python_version()}
    document = {"machine": machine, "rows": rows}
    (ROOT / "docs" / "first_predict.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
