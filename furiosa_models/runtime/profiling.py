"""Profiler for CPUs: a span per inference, and with ONNX Runtime a span per operation."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Flag, IntEnum, auto
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import BackendUnavailable
from .errors import FuriosaRuntimeError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Profiler", "RecordFormat", "Resource", "inference", "profile_session"]

_INFERENCE = "Inference"
_NPU = "NPU"
_OPERATION = "Node"
_QUANTILES = (0.9, 0.95, 0.97, 0.99, 0.999)
_US = 1000
_HOUR_NS = 3600 * 10**9


class Resource(Flag):
    """What to record."""

    CPU = auto()
    NPU = auto()
    ALL = CPU | NPU


class RecordFormat(IntEnum):
    """Format of the records: a file of trace events, or a pandas data frame."""

    ChromeTrace = 0
    PandasDataFrame = 1


class Profiler:
    """Record inferences while entered as a context manager; one at a time per process.

    ```python
    with open("trace.json", "w") as file, profile(file=file) as profiler:
        with create_runner(model) as runner, profiler.record("trace"):
            runner.run(tensor)
    ```

    Every inference is a span named `Inference`. For runners on ONNX Runtime that are created
    inside, every operation is a span, too. `chrome://tracing` and Perfetto display the file. After
    the profiler has exited, it also returns data frames, with times in nanoseconds. These need
    pandas, and raise `ExtraRequired` without it.

    Args:
        resource: What to record. A CPU has no `Resource.NPU`.
        format: Trace events, which are written on exit, or data frames.
        config: `file`, for trace events: a file object or descriptor; standard output by default.

    Raises:
        BackendUnavailable: Only an NPU was to be recorded.
        ValueError: The format or an option is unknown.
    """

    def __init__(
        self,
        resource: Resource = Resource.ALL,
        format: RecordFormat = RecordFormat.ChromeTrace,
        **config: Any,
    ) -> None:
        if Resource.CPU not in resource:
            msg = f"{resource} cannot be recorded, because models run on the CPU: use Resource.ALL"
            raise BackendUnavailable(msg)
        self._format = RecordFormat(format)
        known = {"file"} if self._format is RecordFormat.ChromeTrace else set()
        if unknown := sorted(config.keys() - known):
            msg = f"{self._format.name} has no option {unknown[0]!r}; it has {known or 'none'}"
            raise ValueError(msg)
        self._file = config.get("file", sys.stdout)
        self._spans: list[dict[str, Any]] = []
        self._sessions: list[tuple[Any, int]] = []
        self._pauses: list[tuple[int, int]] = []
        self._paused_at: int | None = None
        self._events: list[dict[str, Any]] = []

    def record(
        self, name: str = "", warm_up: bool = False
    ) -> AbstractContextManager[ProfilerRecordObject]:
        """Record a span with this name while entered; with `warm_up`, record nothing meanwhile."""
        return _warming_up(self) if warm_up else _recorded(self, name, "Record")

    def pause(self) -> None:
        """Stop recording."""
        if self._paused_at is None:
            self._paused_at = time.time_ns()

    def resume(self) -> None:
        """Continue recording."""
        if self._paused_at is not None:
            self._pauses.append((self._paused_at, time.time_ns()))
            self._paused_at = None

    def export_chrome_trace(self, filename: str | os.PathLike[str]) -> None:
        """Write the records as trace events."""
        Path(filename).write_text(json.dumps(_trace(self._events)))

    def get_pandas_dataframe(self) -> Any:
        """Return all spans: `name`, `cat`, `start`, `end`, `dur` and `thread.id`."""
        columns = ("name", "cat", "start", "end", "thread.id")
        rows = [[span[column] for column in columns] for span in self._events]
        frame = _pandas().DataFrame(rows, columns=list(columns))
        frame["dur"] = frame["end"] - frame["start"]
        return frame

    def get_pandas_dataframe_with_filter(self, column: str, value: str) -> Any:
        """Return the spans with a value in a column."""
        frame = self.get_pandas_dataframe()
        return frame[frame[column] == value]

    def get_cpu_pandas_dataframe(self) -> Any:
        """Return the spans of the CPU, which are all of them."""
        frame = self.get_pandas_dataframe()
        return frame[frame["cat"] != _NPU]

    def get_npu_pandas_dataframe(self) -> Any:
        """Return the spans of the NPU; none on a CPU."""
        return self.get_pandas_dataframe_with_filter("cat", _NPU)

    def print_npu_operators(self) -> None:
        """Print the times of NPU operations; nothing on a CPU."""
        _print(self.get_npu_pandas_dataframe())

    def print_npu_executions(self) -> None:
        """Print the times of NPU executions; nothing on a CPU."""
        _print(self.get_npu_pandas_dataframe())

    def print_external_operators(self) -> None:
        """Print the times of operations that ran on the CPU."""
        frame = self.get_pandas_dataframe_with_filter("cat", _OPERATION)
        _print(frame[["thread.id", "name", "dur"]])

    def print_inferences(self) -> None:
        """Print the time of each inference."""
        frame = self.get_pandas_dataframe_with_filter("name", "Inference")
        _print(frame[["thread.id", "dur"]])

    def print_summary(self) -> None:
        """Print the number of inferences and statistics of their times."""
        durations = self.get_pandas_dataframe_with_filter("name", "Inference")["dur"]
        rows = [("Inference counts", len(durations))]
        if len(durations):
            for name in ("min", "max", "mean", "median"):
                rows.append((f"{name.capitalize()} latency (ns)", int(getattr(durations, name)())))
            for part in _QUANTILES:
                label = f"{100 * part:.1f} percentile latency (ns)"
                rows.append((label, int(durations.quantile(part))))
        line = "=" * 48
        body = "\n".join(f"{label:<31} : {value}" for label, value in rows)
        sys.stdout.write(f"{line}\n  Inference Results Summary\n{line}\n{body}\n")

    def __enter__(self) -> Self:
        _begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        _end(self)
        self.resume()
        spans = [*self._spans, *(span for s in self._sessions for span in _operations(*s))]
        self._sessions.clear()
        kept = [span for span in spans if not self._was_paused(span["start"])]
        self._events = sorted(kept, key=lambda span: (span["start"], -span["end"]))
        if self._format is RecordFormat.ChromeTrace:
            _write(self._file, json.dumps(_trace(self._events)))

    def _was_paused(self, moment: int) -> bool:
        return any(first <= moment < last for first, last in self._pauses)


class ProfilerRecordObject:
    """A span that is being recorded.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name


_guard = threading.Lock()
_active: Profiler | None = None


def inference(backend: str) -> AbstractContextManager[Any]:
    """Return a context that records an inference if a profiler is active."""
    profiler = _active  # read once: another thread may exit it at any time
    return nullcontext() if profiler is None else _recorded(profiler, _INFERENCE, backend)


@contextmanager
def profile_session(options: Any) -> Iterator[list[Any]]:
    """Profile the session that is created with `options` and appended to the yielded list."""
    profiler = _active
    if profiler is None:
        yield []
        return
    folder = TemporaryDirectory(prefix="furiosa-models-")
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder.name) / "profile")
    created: list[Any] = []
    started = time.time_ns()
    try:
        yield created
    finally:
        if not created:
            folder.cleanup()
    profiler._sessions += [((session, folder), started) for session in created]


def _begin(profiler: Profiler) -> None:
    global _active
    with _guard:
        if _active is not None:
            msg = "a profiler is already active in this process: exit it before entering another"
            raise FuriosaRuntimeError(msg)
        _active = profiler


def _end(profiler: Profiler) -> None:
    global _active
    with _guard:
        if _active is profiler:
            _active = None


@contextmanager
def _recorded(profiler: Profiler, name: str, category: str) -> Iterator[ProfilerRecordObject]:
    start = time.time_ns()
    try:
        yield ProfilerRecordObject(name)
    finally:
        thread = threading.get_native_id()
        profiler._spans.append(_span(name, category, start, time.time_ns(), thread))


@contextmanager
def _warming_up(profiler: Profiler) -> Iterator[ProfilerRecordObject]:
    profiler.pause()
    try:
        yield ProfilerRecordObject("")
    finally:
        profiler.resume()


def _span(name: str, category: str, start: int, end: int, thread: int) -> dict[str, Any]:
    return {"name": name, "cat": category, "start": start, "end": end, "thread.id": thread}


def _operations(watched_session: Any, started: int) -> Iterator[dict[str, Any]]:
    """Yield the spans that ONNX Runtime recorded of a session, and stop recording."""
    session, folder = watched_session
    # On Linux its clock is the system clock; elsewhere it may start at boot.
    reported_start = int(session.get_profiling_start_time_ns())
    zero = reported_start if abs(reported_start - started) < _HOUR_NS else started
    path = session.end_profiling()
    events = json.loads(Path(path).read_text()) if path else []
    folder.cleanup()
    for event in events:
        start = zero + event["ts"] * _US
        span = _span(event["name"], event["cat"], start, start + event["dur"] * _US, event["tid"])
        yield {**span, "args": event["args"]}


def _trace(spans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return spans as complete events of the trace event format, relative to the first span."""
    zero = spans[0]["start"] if spans else 0
    return [
        {
            "name": span["name"],
            "cat": span["cat"],
            "ph": "X",
            "ts": (span["start"] - zero) / _US,
            "dur": (span["end"] - span["start"]) / _US,
            "pid": os.getpid(),
            "tid": span["thread.id"],
            "args": span.get("args", {}),
        }
        for span in spans
    ]


def _write(file: Any, text: str) -> None:
    if isinstance(file, int):
        with open(file, "w", closefd=False) as stream:
            stream.write(text)
        return
    try:
        file.write(text)
    except TypeError:  # a binary file
        file.write(text.encode())
    file.flush()


def _print(frame: Any) -> None:
    sys.stdout.write(f"{frame}\n")


def _pandas() -> Any:
    return require("pandas", "data frames need pandas")
