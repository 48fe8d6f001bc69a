"""Inferences of many images on all CPUs: one by one, through a queue, by a hundred coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import common

common.enter()

import numpy as np
import numpy.typing as npt

from furiosa_models import runtime
from furiosa_models.catalog import get_model
from furiosa_models.runtime.sync import create_queue, create_runner

NETWORKS = ("SSDMobileNet", "EfficientNetB0", "ResNet50")
IMAGES = 100
ROUNDS = 5

Images = list[npt.NDArray[np.uint8]]


def one_by_one(program: bytes, images: Images) -> float:
    """A runner that has all CPUs for each image."""
    with create_runner(program, device="cpu") as runner:
        return timed(lambda: [runner.run(image) for image in images])


def queued(program: bytes, images: Images) -> float:
    """A queue, whose workers have a CPU and an image each."""
    submitter, receiver = create_queue(program, device="cpu")

    def work() -> None:
        for number, image in enumerate(images):
            submitter.submit(image, context=number)
        for _ in images:
            receiver.recv()

    with submitter, receiver:
        return timed(work)


def concurrent(program: bytes, images: Images) -> float:
    """As many coroutines as there are images, which await the same runner."""

    async def work() -> float:
        async with runtime.create_runner(program, device="cpu") as runner:
            await runner.run(images[0])
            start = time.perf_counter()
            await asyncio.gather(*(runner.run(image) for image in images))
            return time.perf_counter() - start

    return asyncio.run(work())


def timed(work: Callable[[], object]) -> float:
    """Seconds of the second time."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


CONTENDERS = {
    "a queue": queued,
    "one by one": one_by_one,
    "100 coroutines": concurrent,
}


def row(name: str) -> common.Row:
    """One network; contenders take turns, and each keeps its best turn."""
    program = get_model(name, weights="random").model_source(precision="fp32")
    with create_runner(program, device="cpu") as runner:
        shape = runner.model.input(0).shape
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, np.uint8) for _ in range(IMAGES)]
    best = dict.fromkeys(CONTENDERS, float("inf"))
    for _ in range(ROUNDS):
        for label, contender in CONTENDERS.items():
            best[label] = min(best[label], contender(program, images) / IMAGES)
    return common.Row(name, best)


def main() -> None:
    """Measure and report."""
    title = "Throughput of inference on all CPUs, per image"
    common.report("throughput", title, [row(name) for name in NETWORKS])


main()
