"""`benchmark`: latency and throughput of a model in one or several processes.

Neural Compressor starts the user's script again in every process. Here a process of this package
runs the model as ONNX, and the figures are returned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import ConfigurationError, FuriosaModelsError
from ..frameworks.base import feed_by_name
from ..networks import edit, external_data
from ..runtime.machine import available_cpus
from .config import BenchmarkConfig
from .data import arrays_of, split_batch, with_types
from .model import BaseModel, Model

__all__ = ["BenchmarkResult", "benchmark", "fit"]

_SECONDS = 10.0
_TIMEOUT = 600
_OPEN_DIMENSION = 1
_LIMITS = {"uint8": 256}
"""Limit of random integers by type; others may be indices into something small."""

Feed = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """Figures of a benchmark.

    Attributes:
        latency: Mean milliseconds of an inference, over all instances.
        p50: Median of the milliseconds.
        p99: 99th percentile of the milliseconds.
        throughput: Samples per second of all instances together.
        batch_size: Samples of an inference.
        iterations: Measured inferences of all instances.
        num_of_instance: Number of processes.
        cores_per_instance: CPUs of each process.
    """

    latency: float
    p50: float
    p99: float
    throughput: float
    batch_size: int
    iterations: int
    num_of_instance: int
    cores_per_instance: int

    def __str__(self) -> str:
        return (
            f"{self.num_of_instance} x {self.cores_per_instance} CPUs, batch size "
            f"{self.batch_size}: latency {self.latency:.3f} ms (p50 {self.p50:.3f}, p99 "
            f"{self.p99:.3f}), throughput {self.throughput:.1f} samples/s"
        )


def fit(
    model: Any,
    conf: BenchmarkConfig,
    b_dataloader: Any = None,
    b_func: Callable[[Any], Any] | None = None,
) -> BenchmarkResult:
    """Measure the latency and the throughput of a model.

    Args:
        model: A `Model`, or anything that `Model` takes.
        conf: Settings.
        b_dataloader: Data to run on; by default random inputs in the shapes of the model.
        b_func: Function that runs the model, an object of its framework, once over its data. It is
            measured in this process; the settings of instances do not apply to it.

    Raises:
        ConfigurationError: There are more CPUs in the settings than in the machine, or `b_func` is
            given together with several instances.
        FuriosaModelsError: A process failed; the message has its output.
    """
    given: object = conf
    if not isinstance(given, BenchmarkConfig):
        msg = f"conf: expected a BenchmarkConfig, got {type(conf).__name__}"
        raise ConfigurationError(msg)
    wrapped: BaseModel = Model(model)
    if conf.inputs:
        wrapped.input_names = conf.inputs
    if conf.outputs:
        wrapped.output_names = conf.outputs
    if b_func is not None:
        return _of_function(wrapped, conf, b_func)
    feed = _first_input(b_dataloader)
    program = wrapped.source.to_onnx() if wrapped.report is None else wrapped._program()
    cores = _cores(conf)
    return _in_processes(program, _filled(program, feed), conf, cores)


benchmark = fit


def _of_function(
    wrapped: BaseModel, conf: BenchmarkConfig, function: Callable[[Any], Any]
) -> BenchmarkResult:
    if conf.num_of_instance > 1 or conf.cores_per_instance is not None:
        msg = "b_func runs in this process: leave num_of_instance and cores_per_instance out"
        raise ConfigurationError(msg)
    model = wrapped.model
    for _ in range(conf.warmup):
        function(model)
    times = _timed(lambda: function(model), conf.iteration)
    return _result([times], 1, conf, available_cpus())


def _first_input(loader: Any) -> Any:
    if loader is None:
        return None
    for batch in loader:
        return split_batch(batch)[0]
    msg = "b_dataloader yields no batches"
    raise ConfigurationError(msg)


def _cores(conf: BenchmarkConfig) -> int:
    """Return the CPUs of each instance."""
    cpus = available_cpus()
    cores = conf.cores_per_instance or max(1, cpus // conf.num_of_instance)
    if cores * conf.num_of_instance > cpus:
        msg = (
            f"{conf.num_of_instance} instances of {cores} CPUs need {cores * conf.num_of_instance},"
            f" but this process may use {cpus}"
        )
        raise ConfigurationError(msg)
    return cores


def _filled(program: onnx.ModelProto, given: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs of a program; random ones by default."""
    infos = edit.signature(program)[0]
    if given is not None:
        names = [info.name for info in infos]
        return with_types(feed_by_name(arrays_of(given), names), program)
    rng = np.random.default_rng(0)
    shapes = {
        info.name: [size if isinstance(size, int) else _OPEN_DIMENSION for size in info.shape]
        for info in infos
    }
    return {
        info.name: rng.random(shapes[info.name]).astype(info.dtype)
        if info.dtype.startswith("float")
        else rng.integers(0, _LIMITS.get(info.dtype, 2), shapes[info.name]).astype(info.dtype)
        for info in infos
    }


def _in_processes(
    program: onnx.ModelProto, feed: Feed, conf: BenchmarkConfig, cores: int
) -> BenchmarkResult:
    with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
        external_data.save(program, Path(folder) / "model.onnx")
        arrays: dict[str, Any] = dict(feed)
        np.savez(Path(folder) / "inputs.npz", **arrays)
        job = {
            "threads": conf.intra_num_of_threads or cores,
            "inter": conf.inter_num_of_threads or 1,
            "warmup": conf.warmup,
            "iteration": conf.iteration,
        }
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        times = _run_all(Path(folder), conf.num_of_instance, cores)
    return _result(times, len(next(iter(feed.values()))), conf, cores)


def _run_all(folder: Path, count: int, cores: int) -> list[list[float]]:
    """Run the instances side by side; return their times."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    processes = []
    for i in range(count):
        chosen = ",".join(map(str, cpus[i * cores : (i + 1) * cores]))
        command = [sys.executable, "-m", __name__, str(folder), chosen]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, text=True, **pipes))
    found = []
    try:
        for process in processes:
            output, errors = process.communicate(timeout=_TIMEOUT)
            if process.returncode:
                msg = f"an instance of the benchmark failed:\n{errors.strip()}"
                raise FuriosaModelsError(msg)
            found.append(json.loads(output))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return found


def _result(
    times: Sequence[Sequence[float]], batch_size: int, conf: BenchmarkConfig, cores: int
) -> BenchmarkResult:
    every = np.concatenate([np.asarray(each) for each in times])
    p50, p99 = np.percentile(every * 1e3, (50, 99))
    throughput = sum(batch_size * len(each) / sum(each) for each in times)
    return BenchmarkResult(
        float(every.mean() * 1e3),
        float(p50),
        float(p99),
        float(throughput),
        batch_size,
        len(every),
        conf.num_of_instance,
        cores,
    )


def _timed(work: Callable[[], Any], count: int) -> list[float]:
    """Return the seconds of each of `count` calls, or of as many as fit into a measurement."""
    times: list[float] = []
    begin = perf_counter()
    while len(times) < count if count > 0 else perf_counter() - begin < _SECONDS or not times:
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return times


def _instance(folder: Path, cpus: str) -> list[float]:
    """Return the seconds of the inferences of one instance."""
    import onnxruntime

    from ..runtime.backends.onnxruntime import inference_session, session_options

    if cpus:
        os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    options = session_options(job["threads"])
    if job["inter"] > 1:
        options.inter_op_num_threads = job["inter"]
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    session = inference_session(str(folder / "model.onnx"), options)
    with np.load(folder / "inputs.npz") as archive:
        feed = dict(archive)
    for _ in range(job["warmup"]):
        session.run(None, feed)
    return _timed(lambda: session.run(None, feed), job["iteration"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_instance(Path(sys.argv[1]), sys.argv[2])))
