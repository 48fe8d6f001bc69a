"""int8 programs beside NNCF's: milliseconds on one thread, and accuracy on labeled photos.

NNCF gets our float32 program and the same calibration photos, none of which is evaluated, and makes
programs for OpenVINO with its default preset and with its mixed one, whose activations may be
asymmetric. Our int8 program runs as it is in ONNX Runtime and in OpenVINO, and in our runners,
which look functions such as swish up in tables, or leave out the rounding between a convolution and
its activation. All take turns in one process; the figures are the median and the least. Write
`python benchmarks/int8.py MODEL ...` for some of the models. See requirements-fit.txt.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from common import interleave, timed
from fit import CALIBRATION, COCO, IMAGENET
from inference import HINTS

MODELS = {
    "EfficientNetB0": ("tfjs", IMAGENET),
    "MobileNetV2": ("torchvision", IMAGENET),
    "YOLOv5s": ("coco", COCO),
}
FLOAT = "float32, ONNX Runtime"
SECONDS = 20.0

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
Outputs: TypeAlias = "list[npt.NDArray[Any]]"
Run: TypeAlias = Callable[[Pixels], Outputs]


def onnxruntime_run(program: bytes) -> Run:
    """Return a function that runs a session of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: list(session.run(None, {name: pixels}))


def openvino_run(graph: Any) -> Run:
    """Return a function that runs a request of OpenVINO in float32 or int8."""
    import openvino

    settings = {**HINTS, "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    return lambda pixels: [np.array(output) for output in request.infer([pixels]).values()]


def read_openvino(program: bytes, shape: Sequence[int]) -> Any:
    """Return a program as a graph of OpenVINO for one photo."""
    import openvino

    graph = openvino.Core().read_model(program)
    graph.reshape({graph.input(0): [1, *shape]})
    return graph


def quantized_by_nncf(program: bytes, samples: Sequence[Pixels], preset: str) -> Any:
    """Return a program of OpenVINO that NNCF has quantized with one of its presets."""
    import nncf  # type: ignore[import-not-found]

    return nncf.quantize(
        read_openvino(program, samples[0].shape[1:]),
        nncf.Dataset(list(samples)),
        preset=nncf.QuantizationPreset[preset],
        subset_size=len(samples),
    )


def accuracy(model: Any, data: tuple[Path, Path], run: Run) -> float:
    """Return the first figure of a model whose network a function runs."""
    task = model.vision_task
    truth = task.read_truth(data[1], data[0])
    results = []
    for photo in truth.photos:
        pixels, contexts = model.preprocess(photo)
        results += model.head.decode(
            run(pixels), contexts, model.labels, model.platform, **task.evaluation_options
        )
    return float(next(iter(task.measure(truth, results).values())))


def measure(name: str) -> None:
    """Print the table of a model."""
    from furiosa_models import get_model
    from furiosa_models.runtime.sync import create_runner

    weights, data = MODELS[name]
    with ExitStack() as stack:
        model: Any = stack.enter_context(get_model(name, weights=weights))
        samples = [model.preprocess(photo)[0] for photo in sorted(CALIBRATION.iterdir())]
        shape = samples[0].shape[1:]
        exact, int8 = (bytes(model.model_source(precision=p)) for p in ("fp32", "int8"))

        def ours(device: str) -> Run:
            runner = stack.enter_context(create_runner(int8, worker_num=1, device=device))
            return lambda pixels: list(runner.run(pixels))

        runs = {
            FLOAT: onnxruntime_run(exact),
            "float32, OpenVINO": openvino_run(read_openvino(exact, shape)),
            "int8, ONNX Runtime": onnxruntime_run(int8),
            "int8, our runner": ours("cpu"),
            "int8, OpenVINO": openvino_run(read_openvino(int8, shape)),
            "int8, our runner on OpenVINO": ours("openvino"),
            "int8 by NNCF, OpenVINO": openvino_run(
                quantized_by_nncf(exact, samples, "PERFORMANCE")
            ),
            "int8 by NNCF, mixed, OpenVINO": openvino_run(
                quantized_by_nncf(exact, samples, "MIXED")
            ),
        }
        turns = {
            label: timed(lambda run=run: run(samples[0]), seconds=0.02)  # type: ignore[misc]
            for label, run in runs.items()
        }
        times = interleave(turns, seconds=SECONDS)
        figures = {label: accuracy(model, data, run) for label, run in runs.items()}
    base, whole = float(np.median(times[FLOAT])), figures[FLOAT]
    print(f"{name}  (milliseconds, the least, times as fast as {FLOAT}; accuracy, its loss)")
    for label, found in times.items():
        middle = float(np.median(found))
        lost = (whole - figures[label]) / whole
        print(
            f"  {label:32}{middle * 1e3:8.2f}{min(found) * 1e3:8.2f}{base / middle:7.2f}x"
            f"{figures[label]:10.4f}{lost:8.1%}",
            flush=True,
        )


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    names = parser.parse_args().models
    if unknown := {*names} - {*MODELS}:
        parser.error(f"no {', '.join(sorted(unknown))}: choose of {', '.join(MODELS)}")
    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    for name in names:
        measure(name)


if __name__ == "__main__":
    main()
