"""The processes in which `tune` measures candidates, one each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import FuriosaModelsError
from .errors import FuriosaRuntimeError
from .machine import workers
from .source import Use
from .sync import Runner, create_runner
from .tensor import TensorDesc
from .tuned import Setting

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Job", "Process", "ProcessFailed", "serve"]

_CODE = f"""import json, sys
sys.path[:] = json.loads(sys.argv[1])["path"]  # modules are found where this process finds them
from {__name__} import serve
serve()
"""
_REPLY = "reply: "
_BLOB = 16  # pixels
_LEAST = 0.01  # outputs below that are as good as 0
_GRACE = 10.0  # seconds in which a process ends by itself


class ProcessFailed(FuriosaRuntimeError):
    """A candidate does not run."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process measures.

    Attributes:
        setting: The candidate.
        use: Whether one thread runs inferences, or several do at the same time.
    """

    setting: Setting
    use: Use


class Process:
    """A process that has loaded a program and runs it when it is its turn.

    Args:
        job: What it measures.
        file: The program.
        folder: Folder for its outputs.

    Attributes:
        job: What it measures.
        difference: Greatest difference of its outputs from the usual ones.

    Raises:
        ProcessFailed: The program does not run.
    """

    def __init__(self, job: Job, file: Path, folder: Path) -> None:
        setting = job.setting
        self.job = job
        self.difference = 0.0
        name = f"{job.use}-{setting.backend}-{setting.device}-{setting.threads}.npz"
        self._outputs = folder / name.replace(":", "-")
        self._errors = self._outputs.with_suffix(".txt")
        order = {
            **asdict(setting),
            "path": sys.path,
            "use": job.use,
            "file": str(file),
            "out": str(self._outputs),
        }
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            self._reply()
        except BaseException:
            self.close()
            raise

    def turn(self, seconds: float) -> float:
        """Run inferences for some time, at least one; return the seconds per inference.

        Raises:
            ProcessFailed: The process has ended.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            print(seconds, file=stdin, flush=True)
        except OSError as error:
            raise ProcessFailed(self._end()) from error
        return float(self._reply()["seconds"])

    def difference_from(self, other: Process) -> float:
        """Return the greatest difference of the outputs, as part of the other's greatest output."""
        with np.load(self._outputs) as mine, np.load(other._outputs) as usual:
            return max(_difference(mine[name], usual[name]) for name in usual.files)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it has ended
            self._process.stdin.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reply(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        while not (line := stdout.readline()).startswith(_REPLY):
            if not line:
                raise ProcessFailed(self._end())
        reply: dict[str, Any] = json.loads(line.removeprefix(_REPLY))
        if "error" in reply:
            raise ProcessFailed(reply["error"])
        return reply

    def _end(self) -> str:
        code = self._process.wait()
        lines = self._errors.read_text(errors="replace").split("\n")
        said = next((f": {line}" for line in reversed(lines) if line.strip()), "")
        return f"the process that ran {self.job.setting} ended with the code {code}{said}"


def serve() -> None:
    """Load the program of an order, run it once, then take turns: the body of a process."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get between the replies

    def reply(**values: object) -> None:
        print(f"{_REPLY}{json.dumps(values)}", file=out)

    order = json.loads(sys.argv[1])
    try:
        runner = create_runner(
            order["file"], device=order["device"], worker_num=int(order["threads"])
        )
        inputs = [_blobs(desc) for desc in runner.model.inputs()]
        _check_sizes(runner.model.inputs())
        np.savez(order["out"], *runner.run(inputs))
    except Exception as error:  # whatever a library raises, it is the candidate's
        is_own = isinstance(error, FuriosaModelsError)
        reply(error=str(error) if is_own else f"{type(error).__name__}: {error}")
        return
    count = workers() if order["use"] == "stream" else 1
    reply(ready=True)
    for line in sys.stdin:
        reply(seconds=_turn(runner, inputs, float(line), count))


def _turn(runner: Runner, inputs: list[npt.NDArray[Any]], seconds: float, count: int) -> float:
    """Return the seconds per inference of some threads that run it for some time."""
    done = [0] * count
    start = time.perf_counter()

    def work(index: int) -> None:
        while not done[index] or time.perf_counter() - start < seconds:
            runner.run(inputs)
            done[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(1, count)]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) / sum(done)


def _check_sizes(inputs: Sequence[TensorDesc]) -> None:
    """Check that only the batch size is open, since the time depends on the others.

    Raises:
        FuriosaRuntimeError: Another size is open.
    """
    for desc in inputs:
        if set(desc.open_dims) - {0}:
            msg = (
                f"its input {desc.name!r} takes any size, on which the time depends: fix it, for "
                "example by exporting the network for one size"
            )
            raise FuriosaRuntimeError(msg)


def _blobs(desc: TensorDesc) -> npt.NDArray[Any]:
    """Return an input that is equal in all processes, with large areas as in a photo."""
    shape, dtype = desc.shape, np.dtype(desc.numpy_dtype)
    values = np.random.default_rng(0).random([-(-size // _BLOB) for size in shape])
    for axis, size in enumerate(shape):
        values = np.repeat(values, _BLOB, axis).take(range(size), axis)
    if dtype == np.uint8:
        return (values * 255).astype(np.uint8)
    return values.astype(dtype) if np.issubdtype(dtype, np.floating) else np.zeros(shape, dtype)


def _difference(mine: npt.NDArray[Any], usual: npt.NDArray[Any]) -> float:
    if mine.shape != usual.shape:
        return float("inf")
    if not usual.size:
        return 0.0
    apart = np.abs(mine.astype(np.float64) - usual)
    greatest = float(np.abs(usual.astype(np.float64)).max())
    found = float(apart.max()) / max(greatest, _LEAST)
    return found if np.isfinite(found) else float("inf")
