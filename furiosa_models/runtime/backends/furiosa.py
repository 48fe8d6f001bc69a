"""FuriosaAI's NPUs, through the vendor's own runtime, runners and queues.

Device strings are those of the vendor: `warboy(2)*1`, `warboy*1`, `npu:0:1`, `npu:0:0-1`, the
deprecated `npu0pe0` and `npu0pe0-1`, and several of them joined by commas. `npu` is any NPU.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .. import errors
from ..compiler import COMPILER, find_compiler
from ..errors import FuriosaRuntimeError
from ..machine import Fact, installed_version
from ..queue import Received
from ..source import ModelSource, RunnerOptions, ZooModel
from .base import Arrays, Backend, Session, Setup

__all__ = ["FuriosaBackend", "NpuSpec", "device_files", "npu_problem", "parse_devices"]

_ANY_NPU = "npu"
_BLOCKING, _AWAITABLE = "furiosa.runtime.sync", "furiosa.runtime"
_PACKAGE = "furiosa-runtime"
_DRIVER_LIBRARY = "furiosa_hal"
_DEVICE_FILES = "npu*"
_ARCHITECTURES = ("warboy",)
_PROCESSING_ELEMENTS = 2

_UNNUMBERED = re.compile(r"(?P<arch>[a-z][a-z0-9]*)(?:\((?P<pes>\d+)\))?\*(?P<count>\d+)")
_NUMBERED = re.compile(
    r"(?:npu:(?P<device>\d+):|npu(?P<old>\d+)pe)(?P<first>\d+)(?:-(?P<last>\d+))?"
)
_EXAMPLES = "NPUs as in 'warboy(2)*1', 'warboy*1', 'npu:0:0', 'npu:0:0-1' joined by commas"

_ERRORS = {
    name: getattr(errors, name)
    for name in (
        "DeviceBusy",
        "InvalidInput",
        "QueueWaitTimeout",
        "SessionClosed",
        "SessionTerminated",
        "TensorNameNotFound",
    )
} | {"TimeoutError": errors.QueueWaitTimeout}
_RERAISED = (TypeError, ValueError, StopIteration, StopAsyncIteration, FuriosaRuntimeError)


@dataclass(frozen=True, slots=True)
class NpuSpec:
    """One part of a device string.

    Attributes:
        num_pe: Number of processing elements that run a program together: 1 or 2.
        count: Number of such groups.
        device: Index of the NPU, or None for any.
        first_pe: Index of the first processing element, or None for any.
    """

    num_pe: Literal[1, 2]
    count: int = 1
    device: int | None = None
    first_pe: int | None = None


class FuriosaBackend(Backend):
    """The vendor's runtime, with its own queues and asyncio runtime."""

    name, title = "furiosa", "furiosa-runtime"
    place = "the NPU"
    devices = f"'npu', {_EXAMPLES}"

    def __init__(self) -> None:
        self.awaitable = _AwaitableFuriosa()

    def matches(self, device: str) -> bool:
        """Return whether the string looks like NPU devices; `problem` checks the details."""
        if device == _ANY_NPU:
            return True
        parts = [part.strip() for part in device.split(",")]
        return any(_UNNUMBERED.fullmatch(part) or _NUMBERED.fullmatch(part) for part in parts)

    def problem(self, device: str | None = None) -> str | None:
        """Return why the NPU cannot be used, or None.

        Raises:
            ValueError: There is no such NPU.
        """
        if device not in (None, _ANY_NPU):
            _parse_devices(str(device))
        return npu_problem()

    @property
    def is_expected(self) -> bool:
        """Whether the machine has an NPU, or the vendor's runtime."""
        return npu_problem() != _NOT_INSTALLED or bool(device_files())

    def fingerprint(self) -> str:
        """Return the version of the vendor runtime."""
        return str(installed_version(_PACKAGE))

    def facts(self) -> list[Fact]:
        """Return which of the vendor's software is installed, and whether an NPU is available.

        Without any of it, this is a single neutral finding.
        """
        found, problem = installed_version(_PACKAGE), npu_problem()
        library, compiler = find_library(_DRIVER_LIBRARY), find_compiler()
        files = ", ".join(str(path) for path in device_files())
        if not (self.is_expected or found or library or compiler):
            return [Fact("NPU", "none; models run without one")]
        return [
            Fact("vendor runtime", f"{_PACKAGE} {found}" if found else "not installed"),
            Fact("NPU", "answers" if problem is None else "none", problem is None, problem or ""),
            Fact("driver library", library or f"no lib{_DRIVER_LIBRARY}", library is not None),
            Fact("compiler", str(compiler) if compiler else f"no {COMPILER} that answers"),
            Fact("device files", files or "no /dev/npu*", bool(files)),
        ]

    def program_of(self, model: ModelSource, device: str, options: RunnerOptions) -> Any:
        """Return the NPU program of a zoo model; return other models unchanged.

        Raises:
            FuriosaRuntimeError: The requested precision is not that of an NPU.
        """
        if options.precision == "fp32":
            msg = "an NPU computes in int8; precision='fp32' needs device='cpu'"
            raise FuriosaRuntimeError(msg)
        if isinstance(model, ZooModel):
            num_pe = 2 if device == _ANY_NPU else _parse_devices(device)[0].num_pe
            return model.npu_program(num_pe)
        return model.SerializeToString() if hasattr(model, "SerializeToString") else model

    def takes(self, program: Any) -> bool:
        """Return True: the vendor runtime itself reports what it does not support."""
        del program
        return True

    def load(self, program: Any, setup: Setup) -> Session:
        """Never called, because `open_session` and `open_queue` use the vendor's own."""
        raise NotImplementedError

    def connect(self, device: str) -> _Connection:
        """Return a `Runtime` of the vendor."""
        with _vendor_errors():
            return _Connection(importlib.import_module(_BLOCKING).Runtime(_vendor_device(device)))

    def open_session(
        self,
        program: Any,
        device: str,
        options: RunnerOptions,
        connection: _Connection | None = None,
    ) -> _BlockingRunner:
        """Return a runner of the vendor."""
        create, place = _vendor_module(_BLOCKING, connection, device)
        with _vendor_errors():
            return _BlockingRunner(create.create_runner(program, **place, **_runner(options)))

    def open_queue(
        self,
        program: Any,
        device: str,
        options: RunnerOptions,
        connection: _Connection | None = None,
    ) -> _BlockingQueue:
        """Return a queue of the vendor."""
        create, place = _vendor_module(_BLOCKING, connection, device)
        with _vendor_errors():
            return _BlockingQueue(*create.create_queue(program, **place, **_queue(options)))


class _AwaitableFuriosa:
    """The vendor's awaitable runtime."""

    def connect(self, device: str) -> _AwaitableConnection:
        with _vendor_errors():
            runtime = importlib.import_module(_AWAITABLE).Runtime(_vendor_device(device))
        return _AwaitableConnection(runtime)

    async def open_session(
        self,
        program: Any,
        device: str,
        options: RunnerOptions,
        connection: _AwaitableConnection | None = None,
    ) -> _AwaitableRunner:
        create, place = _vendor_module(_AWAITABLE, connection, device)
        with _vendor_errors():
            runner = await create.create_runner(program, **place, **_runner(options))
        return _AwaitableRunner(runner)

    async def open_queue(
        self,
        program: Any,
        device: str,
        options: RunnerOptions,
        connection: _AwaitableConnection | None = None,
    ) -> _AwaitableQueue:
        create, place = _vendor_module(_AWAITABLE, connection, device)
        with _vendor_errors():
            ends = await create.create_queue(program, **place, **_queue(options))
        return _AwaitableQueue(*ends)


class _Connection:
    """A `Runtime` of the vendor."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    def close(self) -> None:
        with _vendor_errors():
            self.runtime.close()


class _AwaitableConnection:
    """An awaitable `Runtime` of the vendor."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    async def close(self) -> None:
        with _vendor_errors():
            await self.runtime.close()


class _VendorRunner:
    """Shared by the vendor's blocking and asyncio runners."""

    takes_batches = False

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self.model = runner.model

    def allocate(self) -> Arrays:
        with _vendor_errors():
            return list(self._runner.allocate())


class _BlockingRunner(_VendorRunner):
    """A blocking runner of the vendor."""

    def run(self, inputs: object) -> Arrays:
        with _vendor_errors():
            return list(self._runner.run(inputs))

    def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        with _vendor_errors():
            return list(self._runner.run_with(output_names, inputs))

    def close(self) -> None:
        with _vendor_errors():
            self._runner.close()


class _AwaitableRunner(_VendorRunner):
    """An awaitable runner of the vendor."""

    async def run(self, inputs: object) -> Arrays:
        with _vendor_errors():
            return list(await self._runner.run(inputs))

    async def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        with _vendor_errors():
            return list(await self._runner.run_with(output_names, inputs))

    async def close(self) -> None:
        with _vendor_errors():
            await self._runner.close()


class _VendorQueue:
    """Shared by the vendor's blocking and asyncio queues."""

    def __init__(self, submitter: Any, receiver: Any) -> None:
        self._submitter, self._receiver = submitter, receiver
        self.model = submitter.model

    def allocate(self) -> Arrays:
        with _vendor_errors():
            return list(self._submitter.allocate())


class _BlockingQueue(_VendorQueue):
    """A blocking queue of the vendor."""

    def submit(self, inputs: Any, context: Any) -> None:
        with _vendor_errors():
            self._submitter.submit(inputs, context)

    def recv(self, timeout: float | None = None) -> Received:
        with _vendor_errors():
            context, outputs = self._receiver.recv(timeout)
        return context, list(outputs)

    def close_submitter(self) -> bool:
        with _vendor_errors():
            return bool(self._submitter.close())

    def close_receiver(self) -> bool:
        with _vendor_errors():
            return bool(self._receiver.close())

    def join(self) -> None:
        """Return at once: the vendor's `close` has already waited."""


class _AwaitableQueue(_VendorQueue):
    """An asyncio queue of the vendor, which closes abandoned ends itself."""

    async def submit(self, inputs: Any, context: Any) -> None:
        with _vendor_errors():
            await self._submitter.submit(inputs, context)

    async def recv(self) -> Received:
        with _vendor_errors():
            context, outputs = await self._receiver.recv()
        return context, list(outputs)

    async def close_submitter(self) -> bool:
        with _vendor_errors():
            return bool(await self._submitter.close())

    async def close_receiver(self) -> bool:
        with _vendor_errors():
            return bool(await self._receiver.close())

    def abandon_submitter(self) -> None:
        """Do nothing."""

    def abandon_receiver(self) -> None:
        """Do nothing."""


_NOT_INSTALLED = f"the package {_PACKAGE} is not installed (pip install {_PACKAGE})"


@cache
def npu_problem() -> str | None:
    """Return why the NPU cannot be used, or None."""
    try:
        importlib.import_module(_BLOCKING)
    except ModuleNotFoundError:
        return _NOT_INSTALLED
    # Without its driver library, the vendor's extension may raise any of these on import.
    except (ImportError, RuntimeError, OSError, SystemExit) as error:
        return (
            f"{_PACKAGE} is installed but cannot be imported ({error}); install FuriosaAI's "
            "driver and HAL packages"
        )
    if not device_files():
        return f"{_PACKAGE} is installed but there is no device file /dev/npu*"
    return None


def device_files() -> list[Path]:
    """Return the NPU's device files."""
    return sorted(Path("/dev").glob(_DEVICE_FILES))


def parse_devices(text: str, source: str = "device") -> tuple[NpuSpec, ...]:
    """Parse an NPU device string.

    Args:
        text: The device string.
        source: Where it comes from, for the error message.

    Raises:
        ValueError: It is not a valid device string.
    """
    try:
        return _parse_devices(text)
    except ValueError as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from None


def _parse_devices(text: str) -> tuple[NpuSpec, ...]:
    return tuple(_parse(part.strip()) for part in text.split(","))


def _parse(part: str) -> NpuSpec:
    if match := _UNNUMBERED.fullmatch(part):
        if match["arch"] not in _ARCHITECTURES:
            raise _no_device(part, f"no architecture {match['arch']!r} is known")
        count = int(match["count"])
        if count < 1:
            raise _no_device(part, "the number of devices must be at least 1")
        return NpuSpec(_num_pe(int(match["pes"] or 1), part), count)
    if match := _NUMBERED.fullmatch(part):
        first, last = int(match["first"]), int(match["last"] or match["first"])
        if (match["last"] and last <= first) or last >= _PROCESSING_ELEMENTS:
            raise _no_device(part, "an NPU has the processing elements 0, 1 and 0-1")
        pes = _num_pe(last - first + 1, part)
        return NpuSpec(pes, 1, int(match["device"] or match["old"] or 0), first)
    raise _no_device(part, f"expected {_EXAMPLES}")


def _num_pe(number: int, part: str) -> Literal[1, 2]:
    if number == 1:
        return 1
    if number == _PROCESSING_ELEMENTS:
        return 2
    raise _no_device(part, "an NPU has 1 or 2 processing elements to give")


def _no_device(part: str, reason: str) -> ValueError:
    return ValueError(f"{part!r} is not a device: {reason}")


def _vendor_device(device: str) -> str | None:
    """Return the vendor's device string; None lets the vendor runtime choose."""
    return None if device == _ANY_NPU else device


def _vendor_module(
    module: str, connection: _Connection | _AwaitableConnection | None, device: str
) -> tuple[Any, dict[str, object]]:
    """Return the object that creates runners and queues, and options that name the device."""
    if connection is not None:
        return connection.runtime, {}
    return importlib.import_module(module), _drop_none(device=_vendor_device(device))


def _runner(options: RunnerOptions) -> dict[str, object]:
    """Return the keyword arguments of the vendor's `create_runner`."""
    config = options.compiler_config
    return _drop_none(
        worker_num=options.worker_num,
        batch_size=options.batch_size,
        compiler_config=None if config is None else dict(config),
    )


def _queue(options: RunnerOptions) -> dict[str, object]:
    """Return the keyword arguments of the vendor's `create_queue`."""
    sizes = _drop_none(
        input_queue_size=options.input_queue_size, output_queue_size=options.output_queue_size
    )
    return {**_runner(options), **sizes}


def _drop_none(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _vendor_errors() -> Iterator[None]:
    """Convert the vendor's errors to those of this package with the same names."""
    try:
        yield
    except _RERAISED:
        raise
    except Exception as error:
        kind: Callable[[str], FuriosaRuntimeError]
        kind = _ERRORS.get(type(error).__name__, FuriosaRuntimeError)
        msg = f"furiosa-runtime: {error}"
        raise kind(msg) from error
