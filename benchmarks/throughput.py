"""Throughput of inference on many images with all CPUs; the order of results does not matter."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from common import Contender, Row, Table, Worker, interleave, run, serve, timed

from furiosa_models import get_model, runtime
from furiosa_models.runtime.machine import available_cpus
from furiosa_models.runtime.sync import create_queue, create_runner

NETWORKS = ("SSDMobileNet", "EfficientNetB0", "ResNet50")
IMAGES = 40
PAUSE_S = 0.03

Images = Sequence[Any]


def queued(program: str, images: Images) -> Callable[[], object]:
    """Return a function that runs a queue, whose workers have one CPU and one image each."""
    submitter, receiver = create_queue(program, device="cpu")

    def work() -> None:
        for number, image in enumerate(images):
            submitter.submit(image, context=number)
        for _ in images:
            receiver.recv()

    return work


def one_by_one(program: str, images: Images) -> Callable[[], object]:
    """Return a function that runs one image after the other, each on all CPUs."""
    runner = create_runner(program, device="cpu")
    return lambda: [runner.run(image) for image in images]


def concurrent(program: str, images: Images) -> Callable[[], object]:
    """Return a function that runs one coroutine per image; all of them share one runner."""

    async def work() -> None:
        async with runtime.create_runner(program, device="cpu") as runner:
            await asyncio.gather(*(runner.run(image) for image in images))

    return lambda: asyncio.run(work())


def thread_pool(program: str, images: Images) -> Callable[[], object]:
    """Return a function that runs one session of ONNX Runtime in one thread per CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(program, options)
    name = session.get_inputs()[0].name
    pool = ThreadPoolExecutor(available_cpus())
    return lambda: list(pool.map(lambda image: session.run(None, {name: image}), images))


def async_queue(program: str, images: Images) -> Callable[[], object]:
    """Return a function that runs OpenVINO's `AsyncInferQueue`, tuned for throughput."""
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = openvino.Core().compile_model(program, "CPU", hints)
    requests = openvino.AsyncInferQueue(compiled)

    def work() -> None:
        for image in images:
            requests.start_async([image])
        requests.wait_all()

    return work


WORKS = {
    "ours, a queue": queued,
    "ours, one by one": one_by_one,
    "ours, coroutines": concurrent,
    "ONNX Runtime, a thread pool": thread_pool,
    "OpenVINO, AsyncInferQueue": async_queue,
}


def contend(name: str, program: str, shape: Sequence[int]) -> None:
    """Load a program, and serve turns that run all images."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, shape, np.uint8) for _ in range(IMAGES)]
    turn = timed(WORKS[name](program, images), items=IMAGES)
    serve(lambda _: turn())


def measure() -> Iterator[Table]:
    """Measure every network."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FURIOSA_MODELS_CACHE_HOME"] = folder
        for name in NETWORKS:
            model = get_model(name, weights="random")
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(model.model_source(precision="fp32"))
            shape = (1, 3, *model.input.size)
            with ExitStack() as stack:
                turns = {
                    way: stack.enter_context(Worker("contend", way, str(path), shape))
                    for way in WORKS
                }
                samples = interleave(turns, seconds=2.5, pause=PAUSE_S)
            rows.append(Row(name, samples))
    contenders = [Contender(name, "ours" if name.startswith("ours") else "peer") for name in WORKS]
    yield Table(
        "throughput",
        "Throughput",
        f"Time per image of the network alone, on all CPUs; {IMAGES} images are available at once.",
        contenders,
        rows,
    )


if __name__ == "__main__":
    run(measure, {"contend": contend})
