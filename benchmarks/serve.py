"""Throughput and latency of `furiosa-models serve` under load, beside `predict(stream=True)`.

The clients run in a process of their own on the same CPUs. Each sends one request after the other
on its connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import photos
import requests
from common import QUICK, Contender, Goal, Row, Samples, Table, once, run, samples_of
from common import answer as send_answer

from furiosa_models import get_model

CLIENTS = (1, 8, 32)
CASES = (("SSDMobileNet", 320), ("YOLOv5s", 64))
"""Model, and number of photos."""

BATCHES = (1, 8)
"""Maximum size of a batch."""

SHARE = 0.9
"""Goal: throughput with 32 clients relative to that of a stream."""

STREAM = "predict(stream=True)"
ROUNDS = 2 if QUICK else 5
QUERY = "score_threshold=0.9"


def load(port: int, clients: int, paths: Sequence[str]) -> None:
    """Send a request for each photo; answer with photos per second, p50 and p99 in seconds."""
    bodies = [Path(path).read_bytes() for path in paths]
    since = time.perf_counter()
    times = asyncio.run(_load(port, clients, bodies))
    rate = len(times) / (time.perf_counter() - since)
    p50, p99 = np.percentile(times, (50, 99))
    send_answer([rate, p50, p99])


async def _load(port: int, clients: int, bodies: Sequence[bytes]) -> list[float]:
    left = iter(bodies)
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /predict?{QUERY} HTTP/1.1\r\nHost: here\r\nContent-Type: image/jpeg\r\n"
        for body in left:
            since = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            found = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", found)[1])  # type: ignore[index]
            await reader.readexactly(length)
            if not found.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(found)
            times.append(time.perf_counter() - since)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return times


@contextmanager
def served(name: str, max_batch: int) -> Iterator[int]:
    """Serve a model in a process of its own; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "furiosa_models", "serve", name, "--weights", "random"]
    options = ["--device", "cpu", "--port", str(port), "--max-batch", str(max_batch)]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([*command, *options], stderr=log)
        try:
            while not is_ready(port):
                if process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(log.read())
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()
            process.wait()


def is_ready(port: int) -> bool:
    """Return whether a server answers."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=30).ok
    except requests.ConnectionError:
        return False


def batches(port: int) -> np.ndarray[Any, Any]:
    """Return the number of photos and of batches that a server has processed."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    found = [re.search(rf"batch_size_{kind}{{.*}} (\S+)", text) for kind in ("sum", "count")]
    return np.array([float(each[1]) if each else 0.0 for each in found])


def measure_model(name: str, count: int) -> dict[str, Samples]:
    """Return the figures of a model: photos per second, latencies, and sizes of batches."""
    paths = [str(path) for path in photos.group("VGA")]
    many = (paths * count)[:count]
    rounds: dict[str, list[dict[str, float]]] = {"rate": [], "p50": [], "p99": [], "size": []}
    with ExitStack() as stack:
        model = stack.enter_context(get_model(name, weights="random"))
        ports = {size: stack.enter_context(served(name, size)) for size in BATCHES}
        for index in range(ROUNDS + 1):  # the first one warms up
            figures: dict[str, dict[str, float]] = {kind: {} for kind in rounds}
            since = time.perf_counter()
            found = model.predict(many, stream=True, device="cpu", score_threshold=0.9)
            figures["rate"][STREAM] = sum(1 for _ in found) / (time.perf_counter() - since)
            for size, port in ports.items():
                for clients in CLIENTS:
                    before = batches(port)
                    values = once("load", port, clients, many)
                    done, formed = batches(port) - before
                    values.append(done / formed)
                    for kind, value in zip(rounds, values, strict=True):
                        figures[kind][way(clients, size)] = value
            if index:
                for kind, each in figures.items():
                    rounds[kind].append(each)
    return {kind: samples_of(each) for kind, each in rounds.items()}


def way(clients: int, max_batch: int) -> str:
    """Return the name of a contender."""
    batched = "" if max_batch == 1 else f", batches up to {max_batch}"
    return f"serve, {clients} client{'s' if clients > 1 else ''}{batched}"


def measure() -> Iterator[Table]:
    """Measure the models."""
    figures = {name: measure_model(name, count) for name, count in CASES}
    ways = [way(clients, size) for size in BATCHES for clients in CLIENTS]
    contenders = [Contender(each, "ours") for each in ways]
    goal = Goal(
        f"{CLIENTS[-1]} clients get at least {SHARE:g} of the throughput of a stream",
        way(CLIENTS[-1], 1),
        STREAM,
        SHARE,
        more=True,
    )

    def rows(kind: str, *goals: Goal) -> list[Row]:
        return [Row(name, found[kind], goals) for name, found in figures.items()]

    yield Table(
        "serve",
        "Serving under load",
        "JPEG files of about 640 x 480 pixels over HTTP; the clients run on the same CPUs. "
        "Batches of one are the default on a CPU. Random weights.",
        [*contenders, Contender(STREAM, "baseline")],
        rows("rate", goal),
        unit="photos/s",
        better="more",
    )
    for kind, title, text in (
        ("p50", "Latency of requests", "Median time from sending a request to its response."),
        ("p99", "Latency of slow requests", "99th percentile of the time of a request."),
    ):
        yield Table(f"serve_{kind}", title, text, contenders, rows(kind))
    yield Table(
        "serve_batches",
        "Batches formed",
        "Mean number of photos in a batch.",
        contenders,
        rows("size"),
        unit="photos",
    )


if __name__ == "__main__":
    run(measure, {"load": load})
