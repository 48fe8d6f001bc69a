"""Quantization to an accuracy: ours beside NNCF's, on labeled photos.

Both get the same float network, the same calibration photos (none of them is evaluated), the same
evaluation, and the same greatest loss. The columns are evaluations of quantized models, seconds,
loss, whether the loss is within the limit, and milliseconds of the result in ONNX Runtime. Write
`python benchmarks/fit.py MODEL ... --loss 0.01` for some of them. See requirements-fit.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("FURIOSA_MODELS_TEST_DATA", "../shared/data"))
CALIBRATION = DATA / "imagenet" / "fullsize"
COCO = DATA / "coco" / "images", DATA / "coco" / "instances.json"
IMAGENET = DATA / "imagenet" / "val227", DATA / "imagenet" / "val227.csv"
MODELS = {
    "EfficientNetB0": ("tfjs", IMAGENET),
    "SSDMobileNetV2": ("tensorflow", COCO),
    "YOLOv5s": ("coco", COCO),
}
LOSSES = (0.02, 0.01, 0.005)
ROUNDS = 30

Evaluate = Callable[[bytes], float]


def ours(model: Any, samples: Sequence[Any], evaluate: Evaluate, loss: float) -> dict[str, Any]:
    """Quantize with `fit`."""
    from furiosa_models.quantization.fit import Limits
    from furiosa_models.quantization.fitted import Criterion
    from furiosa_models.quantization.post_training import fit_on

    fitted, _ = fit_on(
        model.origin,
        samples,
        evaluate=evaluate,
        baseline=evaluate(model.origin),
        criterion=Criterion(loss),
        limits=Limits(max_trials=20),
    )
    return {"program": fitted.program, "evaluations": fitted.evaluations}


def nncf(model: Any, samples: Sequence[Any], evaluate: Evaluate, loss: float) -> dict[str, Any]:
    """Quantize with NNCF's accuracy control."""
    import nncf as peer  # type: ignore[import-not-found]
    import onnx

    count = 0

    def validate(candidate: Any, _data: Any) -> tuple[float, None]:
        nonlocal count
        count += any(node.op_type == "QuantizeLinear" for node in candidate.graph.node)
        accuracy = evaluate(candidate.SerializeToString())
        print(json.dumps({"evaluations": count, "accuracy": accuracy}), flush=True)
        return accuracy, None

    proto = onnx.load_from_string(model.origin)
    name = proto.graph.input[0].name
    quantized = peer.quantize_with_accuracy_control(
        proto,
        peer.Dataset([{name: sample} for sample in samples]),
        peer.Dataset([0]),
        validation_fn=validate,
        max_drop=loss,
        drop_type=peer.DropType.RELATIVE,
        subset_size=len(samples),
    )
    return {"program": quantized.SerializeToString(), "evaluations": count}


def quantize(way: str, name: str, loss: float) -> dict[str, Any]:
    """Quantize a model one way, and measure the result."""
    from furiosa_models import get_model
    from furiosa_models.evaluation import evaluate as measure
    from furiosa_models.images.preprocess import normalize

    weights, (images, labels) = MODELS[name]
    model: Any = get_model(name, weights=weights)
    photos = sorted(CALIBRATION.iterdir())
    spec = model.input
    samples = [normalize(model.preprocess([p])[0], spec, model.platform) for p in photos]

    def evaluate(program: bytes) -> float:
        with model._in_int8(program) as candidate:
            return float(next(iter(measure(candidate, images, labels).figures.values())))

    begin = time.perf_counter()
    found = {"ours": ours, "nncf": nncf}[way](model, samples, evaluate, loss)
    seconds = time.perf_counter() - begin
    exact, accuracy = evaluate(model.origin), evaluate(found["program"])
    lost = (exact - accuracy) / exact
    return {
        "way": way,
        "model": name,
        "limit": loss,
        "evaluations": found["evaluations"],
        "seconds": round(seconds, 1),
        "loss": round(lost, 5),
        "met": lost <= loss,
        "ms": round(latency(found["program"], samples[0]), 2),
        "float_ms": round(latency(model.origin, samples[0]), 2),
        "MB": round(len(found["program"]) / 1e6, 2),
    }


def latency(program: bytes, sample: Any) -> float:
    """Return the least milliseconds of an inference."""
    import onnx

    from furiosa_models.quantization.session import open_session

    session = open_session(onnx.load_from_string(program))
    feed = {session.get_inputs()[0].name: sample}
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begin)
    return float(np.min(times)) * 1e3


def main() -> None:
    """Print a line for each model, limit and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--loss", type=float, action="append")
    parser.add_argument("--way", choices=("ours", "nncf"), action="append")
    parser.add_argument("--timeout", type=float, default=1200, help="seconds for each way")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    ways, losses = options.way or ["ours", "nncf"], options.loss or LOSSES
    if options.one:
        print(json.dumps(quantize(ways[0], options.models[0], losses[0])))
        return
    environment = {**os.environ, "FURIOSA_MODELS_PROGRESS": "0", "NNCF_CI": "ON"}
    for name in options.models:
        for loss in losses:
            for way in ways:
                command = [sys.executable, __file__, name, "--loss", str(loss), "--way", way]
                try:
                    done = subprocess.run(
                        [*command, "--one"],
                        env=environment,
                        stdout=subprocess.PIPE,
                        timeout=options.timeout,
                        check=True,
                        text=True,
                    )
                    print(done.stdout.strip().splitlines()[-1], flush=True)
                except subprocess.TimeoutExpired as error:
                    known = {"way": way, "model": name, "limit": loss, "met": "timeout"}
                    said = (error.stdout or b"").decode().strip().splitlines()
                    print(json.dumps({**known, "last": said[-1:]}), flush=True)


if __name__ == "__main__":
    main()
