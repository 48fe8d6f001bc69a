"""Inference time of our runner and of sessions of ONNX Runtime and OpenVINO, in float32 and int8.

Every contender runs in a separate process, because the spinning threads of one contender would slow
down the next one. Weights are random.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Contender, Goal, Row, Table, Worker, interleave, run, serve, timed

from furiosa_models import get_model
from furiosa_models.quantization import CalibrationMethod, Calibrator, quantize
from furiosa_models.runtime.machine import available_cpus

NETWORKS = ("SSDMobileNet", "ResNet50", "EfficientNetB0", "EfficientNetV2s", "YOLOv5s", "YOLOv5m")
INT8_GOALS = ("SSDMobileNet", "ResNet50", "YOLOv5s", "YOLOv5m")
PAUSE_S = 0.03  # enough for the threads of a session to stop spinning


class Way(NamedTuple):
    """A way to run a program.

    Attributes:
        engine: `ours`, `onnxruntime` or `openvino`.
        options: Device of our runner, or configuration entries of a session.
    """

    engine: str
    options: Mapping[str, str] = {}


FLOAT, INT8 = "float32", "int8"
DEFAULT = "ONNX Runtime"
TUNED = {
    "ONNX Runtime, no spinning": {"session.intra_op.allow_spinning": "0"},
    "ONNX Runtime, no denormals": {"session.set_denormal_as_zero": "1"},
    "ONNX Runtime, fine blocks": {"session.dynamic_block_base": "4"},
}
HINTS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
WAYS = {
    "ours": Way("ours", {"device": "cpu"}),
    "ours, OpenVINO": Way("ours", {"device": "openvino"}),
    DEFAULT: Way("onnxruntime"),
    **{name: Way("onnxruntime", options) for name, options in TUNED.items()},
    "OpenVINO": Way("openvino", HINTS),
    "ours, int8": Way("ours", {"device": "cpu"}),
    "ours, OpenVINO, int8": Way("ours", {"device": "openvino"}),
    "ONNX Runtime, int8": Way("onnxruntime"),
    "OpenVINO, int8": Way("openvino", HINTS),
}
CONTENDERS = [
    Contender(
        name,
        "ours" if way.engine == "ours" else "peer",
        INT8 if name.endswith("int8") else FLOAT,
    )
    for name, way in WAYS.items()
]


def build(name: str, folder: Path) -> dict[str, str]:
    """Write the float32 and int8 programs of a network (uint8 input), and return their paths."""
    model = get_model(name, weights="random")
    program = model.model_source(precision="fp32")
    calibrator = Calibrator(program, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[pixels(model.input.size)]])
    paths = {FLOAT: folder / f"{name}.onnx", INT8: folder / f"{name}_int8.onnx"}
    paths[FLOAT].write_bytes(program)
    paths[INT8].write_bytes(quantize(program, calibrator.compute_range()))
    return {division: str(path) for division, path in paths.items()}


def pixels(size: tuple[int, int]) -> Any:
    """Return one image of random pixels, (1, 3, height, width) uint8."""
    return np.random.default_rng(0).integers(0, 256, (1, 3, *size), np.uint8)


def race(name: str, paths: Mapping[str, str], threads: int) -> Row:
    """Measure all contenders on one network with a number of threads."""
    size = get_model(name, weights="random").input.size
    with ExitStack() as stack:
        turns = {
            c.name: stack.enter_context(Worker("contend", c.name, paths[c.division], threads, size))
            for c in CONTENDERS
        }
        samples = interleave(turns, seconds=1.0, least_rounds=7, pause=PAUSE_S)
    best = min((DEFAULT, *TUNED), key=lambda label: float(np.median(samples[label])))
    goals = [Goal("ours is as fast as the best tuned session of ONNX Runtime", "ours", best)]
    if name == "SSDMobileNet" and threads > 1:
        goals.append(Goal("ours is twice as fast as a default session", "ours", DEFAULT, 0.5))
    if name in INT8_GOALS:
        goals.append(Goal("int8 is twice as fast as float32", "ours, int8", "ours", 0.5))
    return Row(f"{name}, {threads} thread{'s' if threads > 1 else ''}", samples, goals)


def contend(name: str, path: str, threads: int, size: tuple[int, int]) -> None:
    """Load a program, and serve turns that run it."""
    way, image = WAYS[name], pixels(size)
    load: Callable[..., Callable[[], object]] = {
        "ours": ours, "onnxruntime": onnxruntime, "openvino": openvino
    }[way.engine]  # fmt: skip
    work = load(path, threads, way.options, image)
    turn = timed(work, seconds=0.02)

    def warmed(_: None) -> float:
        work()  # wakes the threads, and fills the caches again
        return turn()

    serve(warmed)


def ours(path: str, threads: int, options: Mapping[str, str], image: Any) -> Callable[[], object]:
    """Return a function that runs our runner once."""
    from furiosa_models.runtime.sync import create_runner

    runner = create_runner(path, worker_num=threads, device=options["device"])
    return lambda: runner.run(image)


def onnxruntime(
    path: str, threads: int, options: Mapping[str, str], image: Any
) -> Callable[[], object]:
    """Return a function that runs a session; without options, it chooses its number of threads."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    is_default = not options and threads == available_cpus()
    settings.intra_op_num_threads = 0 if is_default else threads
    for key, value in options.items():
        settings.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(path, settings)
    feed = {session.get_inputs()[0].name: image}
    return lambda: session.run(None, feed)


def openvino(
    path: str, threads: int, options: Mapping[str, str], image: Any
) -> Callable[[], object]:
    """Return a function that runs an OpenVINO inference request once."""
    import openvino

    settings = {**options, "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    return lambda: request.infer([image])


def measure() -> Iterator[Table]:
    """Measure every network."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
        for name in NETWORKS:
            paths = build(name, Path(folder))
            for threads in range(1, min(2, available_cpus()) + 1):
                rows.append(race(name, paths, threads))
    yield Table(
        "inference",
        "Inference",
        "Time of the network alone for one photo, with random weights. OpenVINO computes in "
        "float32 here; by default it uses bfloat16 on CPUs that support it. All contenders run "
        "the same int8 graph, which our quantizer produced.",
        CONTENDERS,
        rows,
    )


if __name__ == "__main__":
    run(measure, {"contend": contend})
