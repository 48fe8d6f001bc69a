"""Measure which device and how many threads run a program the fastest on this machine.

Every candidate runs in a process of its own, so that none meets the threads or the memory of
another. They take turns, for a fraction of a second each, so that a busy moment of the machine hits
all of them. A candidate whose outputs differ from those of the usual setting is left out, unless
its device was asked for by name.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..artifacts.store import Built
from ..errors import BackendUnavailable, ConfigurationError
from ..progress import progress_bar
from . import tuned
from .backends import Backend, backends, is_shipped
from .devices import choose, defaults_to_npu, requested_by, resolve
from .errors import FuriosaRuntimeError, FuriosaRuntimeWarning
from .machine import available_cpus, cpus_per_worker
from .source import ModelSource, Precision, RunnerOptions, Use, program_digest, program_of
from .tuned import Setting
from .tuning_process import Job, Process, ProcessFailed

__all__ = ["SECONDS", "USES", "Measured", "Tuning", "tune"]

SECONDS = 10.0
"""Time for the measurement of a program, without that for loading it."""

USES: dict[Use, str] = {"one": "one at a time", "stream": "stream"}
"""What people call the uses."""

_TURN = 0.05  # seconds, or one inference
_ROUNDS = range(5, 201)
_GAIN = 1.03  # less is noise
_TIMES = ("median", "low", "high")
_MAX_DIFFERENCE = 1e-3  # of the greatest output


@dataclass(frozen=True, slots=True)
class Measured:
    """The time of a candidate.

    Attributes:
        setting: The candidate.
        use: How it ran.
        median: Median over the rounds, in seconds per inference; in a stream, the time between two
            results.
        low: The least of them.
        high: The greatest of them.
        rounds: Number of rounds.
        difference: Greatest difference of the outputs from those of the usual setting, as part of
            the greatest output.
    """

    setting: Setting
    use: Use
    median: float
    low: float
    high: float
    rounds: int
    difference: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON, with times in milliseconds."""
        times = {f"{name}_ms": round(1e3 * getattr(self, name), 4) for name in _TIMES}
        return {
            **asdict(self.setting),
            "use": self.use,
            **times,
            "rounds": self.rounds,
            "difference": self.difference,
        }


@dataclass(frozen=True)
class Tuning:
    """What `tune` found.

    Attributes:
        program: SHA-256 of the program.
        usual: The setting of each use without a measurement.
        best: The fastest setting of each use, which `device="auto"` will choose.
        measured: All measurements, by use and time.
        left_out: What was not measured or not considered, and why.
        path: File with the answer.
    """

    program: str
    usual: dict[Use, Setting]
    best: dict[Use, Setting]
    measured: list[Measured]
    left_out: dict[str, str]
    path: Path

    def gain(self, use: Use = "one") -> float:
        """Return how many times as fast the best setting is as the usual one."""
        medians = {m.setting: m.median for m in self.measured if m.use == use}
        return medians[self.usual[use]] / medians[self.best[use]]

    def to_dict(self) -> dict[str, Any]:
        """Return the results for JSON, with times in milliseconds."""
        return {
            "program": self.program,
            "usual": {use: asdict(setting) for use, setting in self.usual.items()},
            "best": {use: asdict(setting) for use, setting in self.best.items()},
            "gain": {use: round(self.gain(use), 4) for use in self.best},
            "measured": [one.to_dict() for one in self.measured],
            "left_out": self.left_out,
            "path": str(self.path),
        }

    def verdict(self, use: Use) -> str:
        """Return the best setting of a use in words, and how it compares with the usual one."""
        best, usual = self.best[use], self.usual[use]
        gain = f"{self.gain(use):.2f} times as fast as {usual}"
        return f"{USES[use]}: {best}, {'as usual' if best == usual else gain}"

    def __str__(self) -> str:
        return "; ".join(map(self.verdict, self.best))


def tune(
    model: ModelSource,
    *,
    precision: Precision | None = None,
    devices: Sequence[str] | None = None,
    seconds: float = SECONDS,
) -> Tuning:
    """Measure what runs a program the fastest on this machine, and keep the answer in the cache.

    From then on, runners for which nobody requests a device or a number of threads have the fastest
    setting. Two uses are measured: one inference at a time, and several at the same time, as in
    `predict(stream=True)`. A gain of less than 3 % is noise, and changes nothing. Queues and
    batches are not measured, and stay as they are.

    Args:
        model: ONNX, TensorFlow Lite or a model of this zoo; see `create_runner`.
        precision: `"int8"` for the quantized program of a zoo model. Each program has an answer of
            its own: int8 is never chosen in place of float32.
        devices: Device strings to try beside the usual one, whatever they compute; with
            `"openvino:bf16"`, results may change in the third digit. By default, all that are
            installed and compute in the precision of the program, unless their outputs differ from
            the usual ones by more than a thousandth of the greatest.
        seconds: Time for the measurement. Loading the program takes longer; so do five rounds of a
            slow program.

    Raises:
        BackendUnavailable: A device of `devices` is not available, or the machine has an NPU, for
            which programs are compiled.
        CacheNotWritable: The answer cannot be kept.
        ConfigurationError: `seconds` is not a positive number, or a backend of `devices` was
            registered by this process.
        FuriosaRuntimeError: The program takes any size of photos, or cannot run on the usual
            device, or not on one of `devices`.
        ValueError: A device string is not valid.
    """
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not (is_number and 0 < seconds < math.inf):
        msg = f"seconds must be a positive number, got {seconds!r}"
        raise ConfigurationError(msg)
    if defaults_to_npu():
        msg = (
            "this machine has an NPU, which device='auto' uses, and for which programs are "
            "compiled: there is nothing to choose"
        )
        raise BackendUnavailable(msg)
    if name := requested_by():
        warnings.warn(
            f"{name} requests a device, so that only device='auto' will use the answer",
            FuriosaRuntimeWarning,
            stacklevel=3,
        )
    tuned.check_writable()
    program = program_of(model, precision)
    choice, usual_backend, program, _ = resolve(choose("auto"), program, RunnerOptions())
    usual = {use: _setting(usual_backend, choice.device, use) for use in USES}
    left_out: dict[str, str] = {}
    found = _installed(program, left_out) if devices is None else _named(program, devices)
    candidates = [job for job in _jobs(found) if job.setting != usual[job.use]]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="furiosa-tune-")))
        file = _as_file(program, folder)

        def start(job: Job) -> Process:
            return stack.enter_context(Process(job, file, folder))

        try:
            first = [start(Job(usual[use], use)) for use in USES]
        except ProcessFailed as error:
            msg = f"the program cannot be measured on {choice.device}: {error}"
            raise FuriosaRuntimeError(msg) from error
        is_named = devices is not None
        others = list(_started(candidates, start, first[0], left_out, is_named=is_named))
        measured = _measured(first, others, seconds, left_out)
    best = {use: _best([one for one in measured if one.use == use], usual[use]) for use in USES}
    digest = program_digest(program)
    path = tuned.keep(digest, best, [one.to_dict() for one in measured])
    return Tuning(digest, usual, best, measured, left_out, path)


def _setting(backend: Backend, device: str, use: Use) -> Setting:
    """Return the setting of a runner for which nobody requests a number of threads."""
    is_split = use == "stream" and backend.shareable
    return Setting(backend.name, device, cpus_per_worker() if is_split else available_cpus())


def _installed(program: Any, left_out: dict[str, str]) -> Iterator[tuple[Backend, str]]:
    """Yield the devices that are installed and compute in the precision of the program."""
    for backend in backends():
        for device in backend.exact:
            if not (backend.is_expected and backend.takes(program)):
                continue
            problem = backend.problem(device)
            if problem is None:
                yield backend, device
            else:
                left_out[device] = problem


def _named(program: Any, devices: Sequence[str]) -> Iterator[tuple[Backend, str]]:
    """Yield the devices that were asked for by name."""
    if isinstance(devices, str):
        msg = f"devices must be a list of device strings, got the string {devices!r}"
        raise TypeError(msg)
    for device in devices:
        choice, backend, _, _ = resolve(choose(device), program, RunnerOptions())
        if not is_shipped(backend.name):
            msg = (
                f"{device!r} is a registered backend, which the processes that measure do not "
                "know: `furiosa-models bench` measures it"
            )
            raise ConfigurationError(msg)
        yield backend, choice.device


def _jobs(rows: Iterable[tuple[Backend, str]]) -> Iterator[Job]:
    """Yield what is measured: for one inference also fewer threads than there are CPUs."""
    for backend, device in dict.fromkeys(rows):
        parts = (1, 2, 4) if backend.threaded else (1,)
        for threads in sorted({math.ceil(available_cpus() / part) for part in parts}):
            yield Job(Setting(backend.name, device, threads), "one")
        yield Job(_setting(backend, device, "stream"), "stream")


def _as_file(program: Any, folder: Path) -> Path:
    """Return the file of a program; write it into the folder if it has none."""
    if isinstance(program, str):
        return Path(program).absolute()
    file = folder / "program"
    file.write_bytes(program.take() if isinstance(program, Built) else program)
    return file


def _started(
    jobs: Iterable[Job],
    start: Callable[[Job], Process],
    usual: Process,
    left_out: dict[str, str],
    *,
    is_named: bool,
) -> Iterator[Process]:
    """Yield the processes of candidates whose outputs are those of the usual setting.

    Raises:
        FuriosaRuntimeError: A device that was asked for by name cannot run the program.
    """
    for job in jobs:
        device = job.setting.device
        if device in left_out:
            continue
        try:
            process = start(job)
        except ProcessFailed as error:
            if is_named:
                msg = f"the program cannot be measured on {device}: {error}"
                raise FuriosaRuntimeError(msg) from error
            left_out[device] = str(error)
            continue
        process.difference = process.difference_from(usual)
        if process.difference <= _MAX_DIFFERENCE or is_named:
            yield process
        else:
            process.close()
            left_out[device] = (
                f"its outputs differ by {process.difference:.2g} of the greatest: name the device "
                "to choose it all the same"
            )


def _measured(
    usual: Sequence[Process], others: Iterable[Process], seconds: float, left_out: dict[str, str]
) -> list[Measured]:
    """Return the times of processes, which take turns; the fastest of each use first.

    Raises:
        ProcessFailed: A process with the usual setting has ended.
    """
    times: dict[Process, list[float]] = {process: [] for process in (*usual, *others)}

    def turn(process: Process) -> None:
        try:
            times[process].append(process.turn(_TURN))
        except ProcessFailed as error:
            if process in usual:
                raise
            left_out[str(process.job.setting)] = str(error)
            del times[process]

    start = time.perf_counter()
    for process in [*times]:  # warm up, and see how long a round takes
        turn(process)
    passed = time.perf_counter() - start
    for values in times.values():
        values.clear()
    rounds = min(max(math.ceil(seconds / passed), _ROUNDS.start), _ROUNDS.stop - 1)
    with progress_bar("Tune", rounds, unit="round") as bar:
        for number in range(rounds):
            every = [*times]
            shift = number % len(every)
            for process in (*every[shift:], *every[:shift]):
                turn(process)
            bar.update()
    found = [
        Measured(
            process.job.setting,
            process.job.use,
            statistics.median(values),
            min(values),
            max(values),
            len(values),
            process.difference,
        )
        for process, values in times.items()
    ]
    return sorted(found, key=lambda one: ([*USES].index(one.use), one.median))


def _best(measured: Sequence[Measured], usual: Setting) -> Setting:
    """Return the fastest setting; the usual one unless another gains more than noise."""
    fastest = measured[0]
    (before,) = (one for one in measured if one.setting == usual)
    return fastest.setting if before.median > _GAIN * fastest.median else usual
