"""What a backend is: a row of the table, and the sessions that it gives.

A backend subclasses `Backend` and gives sessions that subclass `Session`. It imports its library
when a program is loaded, not before. Queues and awaitable runners are built on its sessions, unless
it brings its own.
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
from ..machine import Fact, available_cpus, cpu_fingerprint
from ..profiling import inference
from ..queue import DEFAULT_QUEUE_SIZE, Pipeline, Received
from ..source import ModelSource, RunnerOptions, is_tflite, program_of
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
    """How a session is to run.

    Attributes:
        threads: Threads that share the work of one inference.
        parallel: Inferences that may run at the same time.
        batch_size: First dimension of the inputs, where the model leaves it open or at 1.
        device: The device string that the backend matched.
    """

    threads: int = 1
    parallel: int = 1
    batch_size: int | None = None
    device: str = "cpu"


class Backend(ABC):
    """A row of the table: what runs programs on the devices that it matches.

    Attributes:
        name: Name, as in `Runner.backend`.
        title: The name for people, in error messages.
        place: Where models run, for people: `"the CPU, by ONNX Runtime"`.
        devices: The device strings that it matches, for error messages.
        hint: What it takes, for the error message about a program that cannot be loaded.
        keeps_compiled: Whether `load` goes through `runtime.compiled`.
        shareable: Whether a session runs the inferences of many threads side by side. Others take
            them in turn.
        awaitable: The awaitable runtime that the backend brings, if it brings one.
    """

    name: str = ""
    title: str = ""
    place: str = ""
    devices: str = ""
    hint: str = ""
    keeps_compiled: bool = False
    shareable: bool = False
    awaitable: AwaitableBackend | None = None

    def matches(self, device: str) -> bool:
        """Whether a device string is for this backend: its name, unless it says otherwise."""
        return device == self.name

    def problem(self, device: str | None = None) -> str | None:
        """Return what keeps a device from being used and what to do about it, or None.

        Args:
            device: A device string that the backend matches; by default any of its devices.

        Raises:
            ValueError: The device string is malformed.
        """
        del device
        return None

    @property
    def is_expected(self) -> bool:
        """Whether a user may wonder why it is not in use: something that it needs is there."""
        return True

    def fingerprint(self) -> str:
        """Return what compiled programs depend on: the version of the library and the machine."""
        return cpu_fingerprint()

    def facts(self) -> list[Fact]:
        """Return what `furiosa-models doctor` tells about the backend; must be fast."""
        problem = self.problem()
        finding = "ready" if problem is None else "not available"
        return [Fact(self.title or self.name, finding, None, problem or "")]

    def program_of(self, model: ModelSource, device: str, options: RunnerOptions) -> Any:
        """Return a model as the backends of a device take it: bytes or a path, if not overridden.

        Raises:
            FuriosaRuntimeError: The model has no program of the precision that is asked for, or an
                option of the compiler is unknown or has the wrong type.
            TypeError: The model comes in no known form.
        """
        del device
        if options.compiler_config is not None:
            check_compiler_config(options.compiler_config)
        return self.adapt_program(program_of(model, options.precision))

    def adapt_program(self, program: Any) -> Any:
        """Return a program as `takes` and `load` are given it: bytes, if it is still to be built.

        A backend that keeps what it compiles gets what builds it, as it may need no bytes.
        """
        is_built = isinstance(program, Built) and not self.keeps_compiled
        return program.take() if is_built else program

    def takes(self, program: Any) -> bool:
        """Whether the backend is for programs of this kind: ONNX, unless it says otherwise."""
        return not is_tflite(program)

    @abstractmethod
    def load(self, program: Any, setup: Setup) -> Session:
        """Return a session of a program; an exception is reported as a `FuriosaRuntimeError`.

        Args:
            program: Bytes, or the path of a file.
            setup: How the session is to run.
        """

    def connect(self, device: str) -> Connection | None:
        """Return what a `Runtime` holds while it is open, if the backend has such a thing."""
        del device
        return None

    def open_session(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> BlockingSession:
        """Return a session of which all threads work on one inference.

        Args:
            program: What `program_of` gave.
            device: The device string.
            options: Options of the runner.
            connection: What `connect` gave to the `Runtime` that opens the session.

        Raises:
            FuriosaRuntimeError: The program cannot be loaded.
        """
        del connection
        threads = options.worker_num or available_cpus()
        return self._load(program, Setup(threads, 1, options.batch_size, device))

    def open_queue(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> BlockingQueue:
        """Return a queue; arguments and errors are those of `open_session`."""
        del connection
        return self.open_pipeline(program, device, options)

    def open_pipeline(self, program: Any, device: str, options: RunnerOptions) -> Pipeline:
        """Return a queue each of whose workers has an inference of its own on one session."""
        workers = options.worker_num or available_cpus()
        threads = max(1, available_cpus() // workers)
        session = self._load(program, Setup(threads, workers, options.batch_size, device))
        sizes = options.input_queue_size, options.output_queue_size
        return Pipeline(session, workers, *(size or DEFAULT_QUEUE_SIZE for size in sizes))

    def _load(self, program: Any, setup: Setup) -> Session:
        settings.keeps_compiled()  # a value that is none is no fault of the program
        try:
            return self.load(program, setup)
        except FuriosaModelsError:
            raise
        except Exception as error:  # the libraries' exceptions share no public base
            in_memory = isinstance(program, bytes)
            name = f"the {len(program)} bytes given" if in_memory else repr(program)
            hint = f" ({self.hint})" if self.hint else ""
            msg = f"{self.title or self.name} cannot load {name}{hint}: {_text(error)}"
            raise FuriosaRuntimeError(msg) from error


class Session(ABC):
    """A loaded program; safe to use from many threads.

    A subclass has one more method, `execute`. An exception of it is reported as a
    `FuriosaRuntimeError`.

    Args:
        backend: The backend that loaded it.
        model: What the program takes and gives.
    """

    def __init__(self, backend: Backend, model: Model) -> None:
        self.backend = backend
        self.model = model

    @abstractmethod
    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all of them, for tensors that fit the model's inputs."""

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""
        return all(0 in desc.open_dims for desc in self.model.inputs())

    def run(self, inputs: object) -> Arrays:
        """Return the outputs for one input or an iterable of them; raises as `Model.check`."""
        return self._execute(self.model.check(as_tensors(inputs)), None)

    def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """Return the named outputs for inputs by name; raises as `Model.check_named`."""
        tensors = self.model.check_named(output_names, inputs)
        return self._execute(tensors, output_names) if output_names else []

    def allocate(self) -> Arrays:
        """Return fresh input tensors, all zero."""
        return self.model.allocate()

    def close(self) -> None:  # noqa: B027
        """Free what the session holds: by default nothing, as memory goes with the object."""

    def _execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        name = self.backend.title or self.backend.name
        try:
            with inference(self.backend.name):
                outputs = self.execute(tensors, output_names)
        except Exception as error:  # the libraries' exceptions share no public base
            msg = f"{name} failed: {_text(error)}"
            raise FuriosaRuntimeError(msg) from error
        count = self.model.output_num if output_names is None else len(output_names)
        is_list = isinstance(outputs, (list, tuple)) and len(outputs) == count
        if not is_list or not all(isinstance(output, np.ndarray) for output in outputs):
            msg = f"{name} must give a list of arrays, {count} of them, got {_kinds(outputs)}"
            raise FuriosaRuntimeError(msg)
        return list(outputs)


class BlockingSession(Protocol):
    """What a blocking runner runs on: a `Session`, or the vendor's runner."""

    @property
    def model(self) -> Any:
        """What the program takes and gives."""

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""

    def allocate(self) -> Arrays:
        """Return fresh input tensors."""

    def run(self, inputs: object) -> Arrays:
        """Return the outputs for one input or a list of them."""

    def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """Return the named outputs for inputs by name."""

    def close(self) -> None:
        """Free what the session holds."""


class BlockingQueue(Protocol):
    """What the two ends of a blocking queue share: a `Pipeline`, or the vendor's queue."""

    @property
    def model(self) -> Any:
        """What the program takes and gives."""

    def allocate(self) -> Arrays:
        """Return fresh input tensors."""

    def submit(self, inputs: Any, context: Any) -> None:
        """Put inputs into the queue; wait while it is full."""

    def recv(self, timeout: float | None = None) -> Received:
        """Take a result; wait until there is one."""

    def close_submitter(self) -> bool:
        """Take no more submissions. Return True the first time."""

    def close_receiver(self) -> bool:
        """Give no more results. Return True the first time."""

    def join(self) -> None:
        """Wait until the workers have ended."""


class AwaitableSession(Protocol):
    """What an awaitable runner runs on."""

    @property
    def model(self) -> Any:
        """What the program takes and gives."""

    def allocate(self) -> Arrays:
        """Return fresh input tensors."""

    async def run(self, inputs: object) -> Arrays:
        """Return the outputs for one input or a list of them."""

    async def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """Return the named outputs for inputs by name."""

    async def close(self) -> None:
        """Wait for what runs, and free what the session holds."""


class AwaitableQueue(Protocol):
    """What the two ends of an awaitable queue share."""

    @property
    def model(self) -> Any:
        """What the program takes and gives."""

    def allocate(self) -> Arrays:
        """Return fresh input tensors."""

    async def submit(self, inputs: Any, context: Any) -> None:
        """Put inputs into the queue as soon as there is room."""

    async def recv(self) -> Received:
        """Take a result as soon as there is one."""

    async def close_submitter(self) -> bool:
        """Take no more submissions. Return True the first time."""

    async def close_receiver(self) -> bool:
        """Give no more results, and wait until the workers have ended."""

    def abandon_submitter(self) -> None:
        """Close the submitter that was garbage collected, without waiting."""

    def abandon_receiver(self) -> None:
        """Close the receiver that was garbage collected, without waiting."""


class Connection(Protocol):
    """What a `Runtime` holds while it is open."""

    def close(self) -> None:
        """Free the device."""


class AwaitableConnection(Protocol):
    """What an awaitable `Runtime` holds while it is open."""

    async def close(self) -> None:
        """Free the device."""


class AwaitableBackend(Protocol):
    """The awaitable runtime that a backend brings; see the methods of `Backend`."""

    def connect(self, device: str) -> AwaitableConnection:
        """Return what a `Runtime` holds while it is open."""

    async def open_session(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> AwaitableSession:
        """Return what a runner runs on."""

    async def open_queue(
        self, program: Any, device: str, options: RunnerOptions, connection: Any = None
    ) -> AwaitableQueue:
        """Return what the two ends of a queue share."""


class Pool(Generic[Item]):
    """Things that serve one thread at a time, created when first needed.

    Args:
        first: One of them.
        create: Creates another one.
        size: Maximum number of them; a thread that needs one more waits until one comes back.
    """

    def __init__(self, first: Item, create: Callable[[], Item], size: int) -> None:
        self._create = create
        self._free: queue.LifoQueue[Item | None] = queue.LifoQueue()
        for _ in range(size - 1):
            self._free.put(None)
        self._free.put(first)

    @contextmanager
    def borrow(self) -> Iterator[Item]:
        """Lend one of them; it is dropped if the work with it fails."""
        item, back = self._free.get(), None
        try:
            item = self._create() if item is None else item
            yield item
            back = item
        finally:
            self._free.put(back)


def _kinds(outputs: object) -> str:
    """What outputs are, for a message."""
    if not isinstance(outputs, (list, tuple)):
        return type(outputs).__name__
    return "[" + ", ".join(type(output).__name__ for output in outputs) + "]"


def _text(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
