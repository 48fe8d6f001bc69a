"""Figures of a server: as Prometheus metrics, and as statistics of the v2 protocol."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from .processes import METRICS_FOLDER

__all__ = ["Metrics", "ModelMetrics"]

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_PREFIX = "furiosa_models"


class Metrics:
    """The metrics of one application.

    If several processes serve it, each writes its figures into a folder, and each reports the sum.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self._registry, "namespace": _PREFIX}
        if METRICS_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "requests", "Requests by route and status.", ("method", "route", "status"), **options
        )
        self._latency = Histogram(
            "request_seconds",
            "Seconds from the headers of a request to the end of its response.",
            ("route",),
            buckets=_SECONDS,
            **options,
        )
        self.batch_size = Histogram(
            "batch_size", "Number of jobs in a batch.", ("model",), buckets=_SIZES, **options
        )
        self.batch_seconds = Histogram(
            "batch_seconds",
            "Seconds to process a batch: read, preprocess, run, postprocess.",
            ("model",),
            buckets=_SECONDS,
            **options,
        )
        self.queue_seconds = Histogram(
            "queue_seconds",
            "Seconds that a job waited for its batch.",
            ("model",),
            buckets=_SECONDS,
            **options,
        )
        self.failures = Counter("failures", "Jobs that gave no result.", ("model",), **options)
        self.requests_in_progress = Gauge(
            "requests_in_progress",
            "Requests that wait or run.",
            ("model",),
            multiprocess_mode="livesum",
            **options,
        )
        self.last_time = Gauge(
            "last_batch_timestamp_seconds",
            "Time of the last batch.",
            ("model",),
            multiprocess_mode="max",
            **options,
        )

    def request_done(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def of_model(self, name: str) -> ModelMetrics:
        """Return the metrics of a model."""
        return ModelMetrics(self, name)

    def exposed(self) -> tuple[bytes, str]:
        """Return the metrics in the text format of Prometheus, and its content type."""
        return generate_latest(self._all()), CONTENT_TYPE_LATEST

    def value(self, name: str, model: str) -> float:
        """Return the value of a sample of a model; 0 if there is none yet."""
        return self._all().get_sample_value(f"{_PREFIX}_{name}", {"model": model}) or 0.0

    def _all(self) -> CollectorRegistry:
        """Return a registry with the figures of all processes."""
        if METRICS_FOLDER not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry


class ModelMetrics:
    """The metrics of one model.

    Args:
        metrics: Metrics of the application.
        name: Name of the model.
    """

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self.name = name
        self.in_progress = metrics.requests_in_progress.labels(name)
        self.failures = metrics.failures.labels(name)
        self._size = metrics.batch_size.labels(name)
        self._seconds = metrics.batch_seconds.labels(name)
        self._queued = metrics.queue_seconds.labels(name)
        self._last = metrics.last_time.labels(name)

    def batch_done(self, size: int, *, queued: Sequence[float], seconds: float) -> None:
        """Record a batch; see `Meter`."""
        self._size.observe(size)
        self._seconds.observe(seconds)
        for waited in queued:
            self._queued.observe(waited)
        self._last.set(time.time())

    def statistics(self) -> dict[str, Any]:
        """Return the statistics of the v2 protocol; `count` is in jobs, `ns` in nanoseconds."""
        value = self._metrics.value

        def spent(count: float, seconds: str) -> dict[str, int]:
            return {"count": int(count), "ns": int(1e9 * value(seconds, self.name))}

        jobs = value("batch_size_sum", self.name)
        batches = value("batch_size_count", self.name)
        failed = value("failures_total", self.name)
        return {
            "name": self.name,
            "version": "1",
            "last_inference": int(1000 * value("last_batch_timestamp_seconds", self.name)),
            "inference_count": int(jobs - failed),
            "execution_count": int(batches),
            "inference_stats": {
                "success": spent(jobs - failed, "batch_seconds_sum"),
                "fail": {"count": int(failed), "ns": 0},
                "queue": spent(jobs, "queue_seconds_sum"),
                "compute_infer": spent(batches, "batch_seconds_sum"),
            },
            "batch_stats": [],
        }
