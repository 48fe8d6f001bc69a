"""Measure how long the stages of a model take on photos, for `furiosa-models bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from .enums import Precision
from .errors import ImageError
from .focoos import LatencyMetrics
from .images.pipeline import Steps
from .images.sources import check_finite, expand_sources
from .ops.checks import check_at_least
from .progress import progress_bar
from .runtime.backends import find_backend
from .runtime.machine import available_cpus

__all__ = ["SECTIONS", "STAGES", "Benchmark", "benchmark", "latency", "metrics_of"]

_WARM_UP = 5  # as in Focoos

STAGES = ("decode", "preprocess", "run", "postprocess")
"""Measured stages: file to pixels, pixels to tensor, network, outputs to results."""

SECTIONS = {
    "Preprocess -> Inference -> Postprocess": STAGES,
    "Inference -> Postprocess": STAGES[2:],
    "Inference": STAGES[2:3],
}
"""The three sections of the benchmark in 0.10, and their stages."""


class Predictor(Protocol):
    """The part of a `Model` that the benchmark needs."""

    @property
    def weights(self) -> str:
        """Name of the weights."""

    @property
    def steps(self) -> Callable[..., Steps[Any]]:
        """Function that returns the steps of a prediction; see `Model.steps`."""

    @property
    def predict(self) -> Callable[..., Any]:
        """Function that returns results of photos; see `Model.predict`."""


@dataclass(frozen=True)
class Benchmark:
    """Results of a benchmark.

    Attributes:
        model: Name of the model's class.
        weights: Name of its weights.
        backend: Where it ran, and why.
        seconds: Seconds of each stage of each photo, run one at a time: (photos, 4).
        streamed: Seconds of `predict(stream=True)` for all photos.
        peak_memory: Peak memory of the process in bytes, or None if unknown.
        load: Seconds until the model was ready.
        first: Seconds of the first photo after that.
        hardware: Name of the hardware.
    """

    model: str
    weights: str
    backend: str
    seconds: np.ndarray[Any, np.dtype[np.float64]]
    streamed: float
    peak_memory: int | None
    load: float = 0.0
    first: float = 0.0
    hardware: str = ""

    def latency(self, stage: str) -> dict[str, float]:
        """Return milliseconds of a stage, or of the `total`: mean, p50, p90, p99 and max."""
        rows = self.seconds.sum(axis=1) if stage == "total" else self._rows_of([stage])
        p50, p90, p99, maximum = np.percentile(rows * 1e3, (50, 90, 99, 100))
        mean = rows.mean() * 1e3
        names = {"mean": mean, "p50": p50, "p90": p90, "p99": p99, "max": maximum}
        return {name: float(value) for name, value in names.items()}

    def section(self, name: str) -> dict[str, float]:
        """Return total seconds, photos per second, and seconds per photo of a section of 0.10."""
        total = float(self._rows_of(SECTIONS[name]).sum())
        photos = len(self.seconds)
        return {"total_s": total, "qps": photos / total, "average_s": total / photos}

    def to_dict(self) -> dict[str, Any]:
        """Return the results for JSON, without the times of single photos."""
        return {
            "model": self.model,
            "weights": self.weights,
            "backend": self.backend,
            "photos": len(self.seconds),
            "load_ms": 1e3 * self.load,
            "first_ms": 1e3 * self.first,
            "latency_ms": {stage: self.latency(stage) for stage in (*STAGES, "total")},
            "sections": {name: self.section(name) for name in SECTIONS},
            "streamed_photos_per_second": len(self.seconds) / self.streamed,
            "peak_memory_bytes": self.peak_memory,
        }

    def record(self) -> dict[str, Any]:
        """Return the main figures, rounded, with the machine: to keep and to compare."""
        run, total = self.latency("run"), self.latency("total")
        return {
            "model": self.model,
            "weights": self.weights,
            "backend": self.backend.partition(" ")[0],
            "hardware": self.hardware,
            "threads": available_cpus(),
            "batch": 1,
            "photos": len(self.seconds),
            "load_ms": round(1e3 * self.load, 3),
            "first_ms": round(1e3 * self.first, 3),
            "run_p50_ms": round(run["p50"], 3),
            "run_p99_ms": round(run["p99"], 3),
            "total_p50_ms": round(total["p50"], 3),
            "total_p99_ms": round(total["p99"], 3),
            "streamed_photos_per_second": round(len(self.seconds) / self.streamed, 2),
            "peak_memory_bytes": self.peak_memory,
        }

    def _rows_of(self, stages: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        chosen: np.ndarray[Any, np.dtype[np.float64]] = self.seconds[
            :, [STAGES.index(stage) for stage in stages]
        ].sum(axis=1)
        return chosen


def benchmark(
    model: Predictor,
    sources: Any,
    *,
    device: str | None = None,
    repeat: int = 1,
    precision: Precision = "fp32",
) -> Benchmark:
    """Run a model on photos, first stage by stage, then as a stream.

    Args:
        model: A model.
        sources: Photos, in any form that `predict` accepts.
        device: As in `predict`.
        repeat: Number of times that each photo is run.
        precision: As in `predict`.

    Raises:
        ImageError: A photo cannot be read.
        ArtifactError: The weights are not available.
        BackendUnavailable: The requested device is not available.
    """
    check_finite(sources)
    photos = list(expand_sources(sources)) * repeat
    if not photos:
        msg = "expected at least one photo, got none"
        raise ImageError(msg)
    options: dict[str, Any] = {"device": device, "precision": precision}
    begin = perf_counter()
    steps = model.steps(**options)
    load = perf_counter() - begin
    first = sum(_stages(steps, photos[0]))
    seconds = np.array(list(_timed(steps, photos)))
    for _ in model.predict(photos[:2], stream=True, **options):  # warm up
        pass
    start = perf_counter()
    for _ in model.predict(photos, stream=True, **options):
        pass
    streamed = perf_counter() - start
    name = type(model).__name__
    backend = find_backend(steps.backend)
    return Benchmark(
        name,
        model.weights,
        steps.where,
        seconds,
        streamed,
        _peak_memory(),
        load,
        first,
        backend.device_name(steps.device) if backend else steps.device,
    )


def latency(run: Callable[[], object], iterations: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the milliseconds of each of several calls, after five calls to warm up.

    Raises:
        ValueError: `iterations` is less than 1.
    """
    check_at_least("iterations", iterations, 1)
    for _ in range(_WARM_UP):
        run()
    times = []
    for _ in range(iterations):
        start = perf_counter()
        run()
        times.append((perf_counter() - start) * 1e3)
    return np.array(times)


def metrics_of(
    times: np.ndarray[Any, np.dtype[np.float64]], *, height: int, backend: str, device: str
) -> LatencyMetrics:
    """Return milliseconds as `LatencyMetrics`.

    Args:
        times: Milliseconds of each call.
        height: Height of the image.
        backend: Name of the backend.
        device: The device string.
    """
    found = find_backend(backend)
    least, greatest, mean, std = (
        round(float(value), 3) for value in (times.min(), times.max(), times.mean(), times.std())
    )
    return LatencyMetrics(
        fps=int(1000 / float(times.mean())),
        engine=(found.engine if found else "") or backend,
        min=least,
        max=greatest,
        mean=mean,
        std=std,
        im_size=height,
        device=found.device_name(device) if found else device,
    )


def _timed(steps: Steps[Any], photos: Sequence[Any]) -> Iterator[tuple[float, ...]]:
    with progress_bar("Benchmark", len(photos), unit="photo") as bar:
        for photo in photos:
            yield _stages(steps, photo)
            bar.update()


def _stages(steps: Steps[Any], photo: Any) -> tuple[float, ...]:
    """Return the seconds of each stage."""
    times = [perf_counter()]
    image = steps.read(photo)
    times.append(perf_counter())
    tensor, contexts = steps.prepare([image])
    times.append(perf_counter())
    outputs = steps.run(tensor)
    times.append(perf_counter())
    steps.decode(outputs, contexts)
    times.append(perf_counter())
    return tuple(float(step) for step in np.diff(times))


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
