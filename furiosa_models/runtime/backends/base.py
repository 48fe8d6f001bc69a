"""Interfaces of backends and their sessions.

A backend subclasses `Backend`; its sessions subclass `Session`. It imports its library when it
loads a program, not before. Queues and asyncio runners are built on its sessions, unless it has its
own.
"""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ... import settings
from ...artifacts.store import Built
from ...errors import FuriosaModelsError
from ..compiler import check_compiler_config
from ..errors import FuriosaRuntimeError
from ..machine import Fact, available_cpus, cpu_fingerprint, cpu_name, cpus_per_worker
from ..profiling import inference
from ..queue import DEFAULT_QUEUE_SIZE, Pipeline, Received
from ..source import ModelSource, RunnerOptions, is_tflite, is_torchscript, program_of
from ..tensor import Model, as_tensors

__all__ = [
    "Arrays",
    "AwaitableBackend",
    "AwaitableConnection",
    "AwaitableQueue",
    "AwaitableSession",
    "Backend",
    "BlockingQueue",
    "BlockingSession",
    "Connection",
    "Pool",
    "Session",
    "Setup",
]

Arrays: TypeAlias = "list[npt.NDArray[Any]]"
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Setup:
    """Configuration of a session.

    Attributes:
        threads: Number of threads per inference.
        parallel: Maximum number of parallel inferences.
        batch_size: First dimension of the inputs, if the model leaves it open or has 1.
        device: The device string that the backend matched.
    """

    threads: int = 1
    parallel: int = 1
    batch_size: int | None = None
    device: str = "cpu"


class Backend(ABC):
    """Runs programs on the devices that it matches.

    Attributes:
        name: Name, as in `Runner.backend`.
        title: Name for display.
        place: Where models run, for display: `"the CPU, by ONNX Runtime"`.
        devices: The device strings that it matches, for error messages.
        engine: Name of the engine in `LatencyMetrics`; that of the backend by default.
        hint: What it accepts, for error messages about programs that cannot be loaded.
        keeps_compiled: Whether `load` uses the cache `runtime.compiled`.
        shareable: Whether a session runs inferences of several threads in parallel. Other backends
            run them one after the other.
        awaitable: The backend's own asyncio runtime, if any.
        exact: Device strings that compute in the precision of the program, for `tune` to try.
        threaded: Whether the number of threads of an inference changes anything.
    """

    name: str = ""
    title: str = ""
    place: str = ""
    devices: str = ""
    engine: str = ""
    hint: str = ""
    keeps_compiled: bool = False
    shareable: bool = False
    awaitable: AwaitableBackend | None = None
    exact: tuple[str, ...] = ()
    threaded: bool = False

    def matches(self, device: str) -> bool:
        """Return whether a device string is for this backend. By default it must be its name."""
        return device == self.name

    def problem(self, device: str | None = None) -> str | None:
        """Return why a device cannot be used and what to do about it, or None.

        Args:
            device: A device string that the backend matches; by default any of its devices.

        Raises:
            ValueError: The device string is malformed.
        """
        del device
        return None

    @property
    def is_expected(self) -> bool:
        """Whether a user may expect it to be used, because something that it needs exists."""
        return True

    def place_of(self, device: str) -> str:
        """Return where models run on a device, for display; by default `place`."""
        del device
        return self.place

    def device_name(self, device: str) -> str:
        """Return the name of the hardware behind a device string; by default that of the CPU."""
        del device
        return cpu_name()

    def fingerprint(self) -> str:
        """Return what compiled programs depend on: the library's version and the machine."""
        return cpu_fingerprint()

    def facts(self) -> list[Fact]:
        """Return the findings for `furiosa-models doctor`. Must be fast."""
        problem = self.problem()
        finding = "ready" if problem is None else "not available"
        return [Fact(self.title or self.name, finding, None, problem or "")]

    def program_of(self, model: ModelSource, device: str, options: RunnerOptions) -> Any:
        """Convert a model to the form that backends of a device accept: bytes or a path by default.

        Raises:
            FuriosaRuntimeError: The model has no program of the requested precision, or a compiler
                option is unknown or has the wrong type.
            TypeError: The model has an unknown type.
        """
        del device
        if options.compiler_config is not None:
            check_compiler_config(options.compiler_config)
        return self.adapt_program(program_of(model, options.precision))

    def adapt_program(self, program: Any) -> Any:
        """Return a program in the form for `takes` and `load`; build its bytes if necessary.

        A backend that caches compiled programs gets the builder, because it may not need the bytes.
        """
        is_built = isinstance(program, Built) and not self.keeps_compiled
        return program.take() if is_built else program

    def takes(self, program: Any) -> bool:
        """Return whether the backend supports a program. By default it must be ONNX."""
        return not (is_tflite(program) or is_torchscript(program))

    @abstractmethod
    def load(self, program: Any, setup: Setup) -> Session:
        """Load a program; any exception is reported as a `FuriosaRuntimeError`.

        Args:
            program: Bytes, or the path of a file.
            setup: Configuration of the session.
        """

    def connect(self, device: str) -> Connection | None:
        """Return an object that a `Runtime` holds while it is open, if the backend needs one."""
        del device
        return None

    def open_session(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> BlockingSession:
        """Return a session whose threads all work on one inference, or share it by inferences.

        Args:
            program: The result of `program_of`.
            device: The device string.
            options: Options of the runner.
            connection: The result of `connect`, if a `Runtime` opens the session.

        Raises:
            FuriosaRuntimeError: The program cannot be loaded.
        """
        del connection
        own = cpus_per_worker() if options.shared and self.shareable else available_cpus()
        threads = options.worker_num or own
        return self._load(program, Setup(threads, 1, options.batch_size, device))

    def open_queue(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> BlockingQueue:
        """Return a queue; arguments and errors are those of `open_session`."""
        del connection
        return self.open_pipeline(program, device, options)

    def open_pipeline(self, program: Any, device: str, options: RunnerOptions) -> Pipeline:
        """Return a queue whose workers run parallel inferences on one session."""
        workers = options.worker_num or available_cpus()
        threads = max(1, available_cpus() // workers)
        session = self._load(program, Setup(threads, workers, options.batch_size, device))
        sizes = options.input_queue_size, options.output_queue_size
        return Pipeline(session, workers, *(size or DEFAULT_QUEUE_SIZE for size in sizes))

    def _load(self, program: Any, setup: Setup) -> Session:
        settings.keeps_compiled()  # report an invalid setting as such, not as a bad program
        try:
            return self.load(program, setup)
        except FuriosaModelsError:
            raise
        except Exception as error:  # the libraries' exceptions have no common base class
            in_memory = isinstance(program, bytes)
            name = f"the {len(program)} bytes given" if in_memory else repr(program)
            hint = f" ({self.hint})" if self.hint else ""
            msg = f"{self.title or self.name} cannot load {name}{hint}: {_text(error)}"
            raise FuriosaRuntimeError(msg) from error


class Session(ABC):
    """A loaded program. Thread-safe.

    A subclass implements `execute`. Its exceptions are reported as `FuriosaRuntimeError`.

    Args:
        backend: The backend that loaded it.
        model: Description of the program's inputs and outputs.
    """

    def __init__(self, backend: Backend, model: Model) -> None:
        self.backend = backend
        self.model = model

    @abstractmethod
    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all, for tensors that were checked against the inputs."""

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""
        return all(0 in desc.open_dims for desc in self.model.inputs())

    def run(self, inputs: object) -> Arrays:
        """Return the outputs for one input or an iterable of inputs.

        Raises:
            InvalidInput: The inputs do not fit the model.
            FuriosaRuntimeError: The inference failed.
        """
        return self._execute(self.model.check(as_tensors(inputs)), None)

    def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """Return the named outputs for inputs by name.

        Raises:
            InvalidInput: The inputs do not fit the model.
            TensorNameNotFound: The model has no such input or output.
            FuriosaRuntimeError: The inference failed.
        """
        tensors = self.model.check_named(output_names, inputs)
        return self._execute(tensors, output_names) if output_names else []

    def allocate(self) -> Arrays:
        """Return new input tensors filled with zeros."""
        return self.model.allocate()

    def close(self) -> None:  # noqa: B027
        """Free the session's resources. By default they are freed with the object."""

    def _execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        name = self.backend.title or self.backend.name
        try:
            with inference(self.backend.name):
                outputs = self.execute(tensors, output_names)
        except Exception as error:  # the libraries' exceptions have no common base class
            msg = f"{name} failed: {_text(error)}"
            raise FuriosaRuntimeError(msg) from error
        count = self.model.output_num if output_names is None else len(output_names)
        is_list = isinstance(outputs, (list, tuple)) and len(outputs) == count
        if not is_list or not all(isinstance(output, np.ndarray) for output in outputs):
            msg = f"{name} must give a list of arrays, {count} of them, got {_kinds(outputs)}"
            raise FuriosaRuntimeError(msg)
        return list(outputs)


class BlockingSession(Protocol):
    """Session of a blocking runner: a `Session`, or the vendor's runner."""

    @property
    def model(self) -> Any:
        """Description of the program's inputs and outputs."""

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""

    def allocate(self) -> Arrays:
        """Return new input tensors."""

    def run(self, inputs: object) -> Arrays:
        """Return the outputs for one input or a list of them."""

    def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """Return the named outputs for inputs by name."""

    def close(self) -> None:
        """Free the session's resources."""


class BlockingQueue(Protocol):
    """Shared by both ends of a blocking queue: a `Pipeline`, or the vendor's queue."""

    @property
    def model(self) -> Any:
        """Description of the program's inputs and outputs."""

    def allocate(self) -> Arrays:
        """Return new input tensors."""

    def submit(self, inputs: Any, context: Any) -> None:
        """Put inputs into the queue; wait while it is full."""

    def recv(self, timeout: float | None = None) -> Received:
        """Return the next result; wait for it."""

    def close_submitter(self) -> bool:
        """Accept no more submissions. Return True on the first call."""

    def close_receiver(self) -> bool:
        """Return no more results. Return True on the first call."""

    def join(self) -> None:
        """Wait until the workers have exited."""


class AwaitableSession(Protocol):
    """Session of an asyncio runner."""

    @property
    def model(self) -> Any:
        """Description of the program's inputs and outputs."""

    def allocate(self) -> Arrays:
        """Return new input tensors."""

    async def run(self, inputs: object) -> Arrays:
        """Return the outputs for one input or a list of them."""

    async def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """Return the named outputs for inputs by name."""

    async def close(self) -> None:
        """Wait for running inferences, and free the session's resources."""


class AwaitableQueue(Protocol):
    """Shared by both ends of an asyncio queue."""

    @property
    def model(self) -> Any:
        """Description of the program's inputs and outputs."""

    def allocate(self) -> Arrays:
        """Return new input tensors."""

    async def submit(self, inputs: Any, context: Any) -> None:
        """Put inputs into the queue; wait while it is full."""

    async def recv(self) -> Received:
        """Return the next result; wait for it."""

    async def close_submitter(self) -> bool:
        """Accept no more submissions. Return True on the first call."""

    async def close_receiver(self) -> bool:
        """Return no more results; wait until the workers have exited."""

    def abandon_submitter(self) -> None:
        """Close the queue without waiting, after the submitter was garbage-collected."""

    def abandon_receiver(self) -> None:
        """Close the queue without waiting, after the receiver was garbage-collected."""


class Connection(Protocol):
    """Object that a `Runtime` holds while it is open."""

    def close(self) -> None:
        """Release the device."""


class AwaitableConnection(Protocol):
    """Object that an asyncio `Runtime` holds while it is open."""

    async def close(self) -> None:
        """Release the device."""


class AwaitableBackend(Protocol):
    """A backend's own asyncio runtime; see the methods of `Backend`."""

    def connect(self, device: str) -> AwaitableConnection:
        """Return an object that a `Runtime` holds while it is open."""

    async def open_session(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> AwaitableSession:
        """Return the session of a runner."""

    async def open_queue(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> AwaitableQueue:
        """Return the object that both ends of a queue share."""


class Pool(Generic[Item]):
    """A pool of objects that serve one thread at a time, created on demand.

    Args:
        first: The first object.
        create: Creates another one.
        size: Maximum number of objects. If all are in use, threads wait.
    """

    def __init__(self, first: Item, create: Callable[[], Item], size: int) -> None:
        self._create = create
        self._free: queue.LifoQueue[Item | None] = queue.LifoQueue()
        for _ in range(size - 1):
            self._free.put(None)
        self._free.put(first)

    @contextmanager
    def borrow(self) -> Iterator[Item]:
        """Lend an object; discard it if the code that uses it raises."""
        item, back = self._free.get(), None
        try:
            item = self._create() if item is None else item
            yield item
            back = item
        finally:
            self._free.put(back)


def _kinds(outputs: object) -> str:
    """Describe the types of outputs, for a message."""
    if not isinstance(outputs, (list, tuple)):
        return type(outputs).__name__
    return "[" + ", ".join(type(output).__name__ for output in outputs) + "]"


def _text(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
