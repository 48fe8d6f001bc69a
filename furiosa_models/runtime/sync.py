"""The blocking runtime: `furiosa.runtime.sync` of furiosa-runtime 0.10, on every machine.

```python
with create_runner(model) as runner:
    outputs = runner.run(tensor)

submitter, receiver = create_queue(model)
with submitter:
    for number, tensor in enumerate(tensors):
        submitter.submit(tensor, context=number)
for number, outputs in receiver:
    ...
```
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from .backends import find_backend
from .backends.base import BlockingQueue, BlockingSession, Connection
from .devices import Choice, choose, resolve
from .errors import FuriosaRuntimeError, FuriosaRuntimeWarning, SessionClosed, SessionTerminated
from .queue import Received
from .source import ModelSource, Precision, RunnerOptions
from .tensor import Axis, DataType, Model, Tensor, TensorArray, TensorDesc

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Axis",
    "DataType",
    "FuriosaRuntimeError",
    "FuriosaRuntimeWarning",
    "Model",
    "ModelSource",
    "Precision",
    "QueuePair",
    "Receiver",
    "Runner",
    "Runtime",
    "Submitter",
    "Tensor",
    "TensorArray",
    "TensorDesc",
    "create_queue",
    "create_runner",
]


def create_runner(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
) -> Runner:
    """Return a runner for a model, on the NPU if there is one and on the CPU if not.

    Args:
        model: An ONNX or TensorFlow Lite model (bytes, a path, a `ModelProto`), a model of this
            zoo, or on the NPU whatever the vendor runtime takes (ENF).
        device: See `furiosa_models.runtime.devices.choose`.
        worker_num: Threads that share the work of an inference on the CPU, one for each CPU the
            process may use by default; workers on the NPU.
        batch_size: First dimension of the inputs, where the model leaves it open or at 1.
        compiler_config: Options of the NPU compiler; checked, and of no effect, on the CPU.
        precision: `"int8"` for the quantized program of a model of the zoo on the CPU; an NPU
            has no other.

    Raises:
        BackendUnavailable: The device that is asked for is not there.
        ExtraRequired: The model is TensorFlow Lite, and LiteRT is not installed.
        FuriosaRuntimeError: The model cannot be loaded (ENF, for one, on a CPU), or an option of
            the compiler is unknown or has the wrong type.
        ShapeError: The model cannot have that batch size.
        TypeError: An argument has the wrong type.
        ValueError: A number is less than 1, or the device string is none.
    """
    options = RunnerOptions(worker_num, batch_size, compiler_config, precision)
    return _create_runner(choose(device), model, options)


def create_queue(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    input_queue_size: int | None = None,
    output_queue_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
) -> QueuePair:
    """Return a submitter and a receiver, with workers between them.

    Args:
        model: As for `create_runner`.
        device: As for `create_runner`.
        worker_num: Inferences that run at the same time; on the CPU one for each CPU the process
            may use by default, which gets more done than one inference on all of them.
        batch_size: As for `create_runner`.
        input_queue_size: Submissions that may wait for a worker; more of them wait in `submit`.
        output_queue_size: Results that may wait to be received; more of them stop the workers.
        compiler_config: As for `create_runner`.
        precision: As for `create_runner`.

    Raises:
        BackendUnavailable: As `create_runner`; so do the others.
        FuriosaRuntimeError: The model cannot be loaded.
        TypeError: An argument has the wrong type.
        ValueError: A number is less than 1.
    """
    sizes = input_queue_size, output_queue_size
    options = RunnerOptions(worker_num, batch_size, compiler_config, precision, *sizes)
    return _create_queue(choose(device), model, options)


class Runtime:
    """A device on which runners and queues are created; closing it closes them.

    Args:
        device: See `furiosa_models.runtime.devices.choose`.

    Attributes:
        choice: The device, and why.

    Raises:
        BackendUnavailable: The device that is asked for is not there.
        FuriosaRuntimeError: The device cannot be had.
    """

    def __init__(self, device: str | None = None) -> None:
        self.choice = choose(device)
        self._closed = False
        self._created: weakref.WeakSet[Runner | Submitter | Receiver] = weakref.WeakSet()
        backend = find_backend(self.choice.backend)
        self._connection = backend.connect(self.choice.device) if backend else None

    def create_runner(
        self,
        model: ModelSource,
        *,
        worker_num: int | None = None,
        batch_size: int | None = None,
        compiler_config: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> Runner:
        """Return a runner on this device; see `create_runner`."""
        self._check_open()
        options = RunnerOptions(worker_num, batch_size, compiler_config, precision)
        runner = _create_runner(self.choice, model, options, self._connection)
        self._created.add(runner)
        return runner

    def create_queue(
        self,
        model: ModelSource,
        *,
        worker_num: int | None = None,
        batch_size: int | None = None,
        input_queue_size: int | None = None,
        output_queue_size: int | None = None,
        compiler_config: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> QueuePair:
        """Return a submitter and a receiver on this device; see `create_queue`."""
        self._check_open()
        sizes = input_queue_size, output_queue_size
        options = RunnerOptions(worker_num, batch_size, compiler_config, precision, *sizes)
        pair = _create_queue(self.choice, model, options, self._connection)
        self._created.update(pair)
        return pair

    def close(self) -> bool:
        """Close the runtime and all that was created on it. Return True the first time."""
        was_open, self._closed = not self._closed, True
        for created in [*self._created]:
            created.close()
        if was_open and self._connection is not None:
            self._connection.close()
        return was_open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "the runtime is closed: make a new one"
            raise SessionClosed(msg)


class Runner:
    """A loaded model; safe to use from many threads.

    Attributes:
        choice: The device it runs on, and why.
    """

    def __init__(self, session: BlockingSession, choice: Choice) -> None:
        self._session: BlockingSession | None = session
        self._closing = threading.Lock()
        self.choice = choice

    @property
    def backend(self) -> str:
        """Name of the backend: `furiosa`, `onnxruntime`, `openvino`, `litert` or a user's."""
        return self.choice.backend

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        model: Model = self._open().model
        return model

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""
        return self._open().takes_batches

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return fresh input tensors, all zero."""
        return self._open().allocate()

    def run(self, inputs: Tensor | Sequence[Tensor]) -> list[npt.NDArray[Any]]:
        """Return the outputs for one input, or for a list of them; the inputs are not copied.

        Raises:
            TypeError: An input has the wrong dtype.
            InvalidInput: An input has the wrong shape, or there are too many or too few.
            SessionClosed: The runner was closed.
            FuriosaRuntimeError: The inference failed.
        """
        return self._open().run(inputs)

    def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, Tensor]
    ) -> list[npt.NDArray[Any]]:
        """Return the named outputs for inputs by name.

        Raises:
            TensorNameNotFound: The model has no such input or output.
            TypeError: As `run` raises; so do the others.
            InvalidInput: An input is missing, or has the wrong shape.
            SessionClosed: The runner was closed.
            FuriosaRuntimeError: The inference failed.
        """
        return self._open().run_with(output_names, inputs)

    def close(self) -> bool:
        """Free the model. Return True the first time."""
        with self._closing:
            session, self._session = self._session, None
        if session is not None:
            session.close()
        return session is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._session is None else self.choice.reason
        return f"<{type(self).__name__} on {self.backend}: {state}>"

    def _open(self) -> BlockingSession:
        session = self._session
        if session is None:
            msg = "the runner is closed: create a new one"
            raise SessionClosed(msg)
        return session


class _QueueEnd:
    """What the two ends have in common."""

    def __init__(self, queue: BlockingQueue) -> None:
        self._queue = queue
        self._closed = False

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        self._check_open()
        model: Model = self._queue.model
        return model

    def close(self) -> bool:
        """Close it. Return True the first time."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = f"the {type(self).__name__.lower()} is closed"
            raise SessionClosed(msg)


class Submitter(_QueueEnd):
    """The end of a queue that takes inputs; safe to use from many threads."""

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return fresh input tensors, all zero."""
        self._check_open()
        return self._queue.allocate()

    def submit(self, inputs: Tensor | Sequence[Tensor], context: Any = None) -> None:
        """Put one input, or a list of them, into the queue; wait while it is full.

        The inputs are not copied: they must not change before the result is there.

        Args:
            inputs: The inputs.
            context: What `Receiver.recv` gives along with the outputs.

        Raises:
            TypeError: An input has the wrong dtype.
            InvalidInput: An input has the wrong shape, or there are too many or too few.
            SessionClosed: The submitter was closed.
            SessionTerminated: The receiver was closed.
        """
        self._check_open()
        self._queue.submit(inputs, context)

    def close(self) -> bool:
        """Take no more inputs; those in the queue are still run. Return True the first time."""
        self._closed = True
        return self._queue.close_submitter()

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self._queue.close_submitter()


class Receiver(_QueueEnd):
    """The end of a queue that gives results, in the order in which they are done.

    Iterating gives results until the submitter is closed and all have come.
    """

    def recv(self, timeout: float | None = None) -> Received:
        """Return a result: the context of its submission, and the outputs.

        Args:
            timeout: Seconds to wait; as long as it takes by default.

        Raises:
            ValueError: The timeout is negative, or not finite.
            QueueWaitTimeout: None came in time (a `TimeoutError`).
            SessionTerminated: The submitter was closed, and all results have come.
            SessionClosed: The receiver was closed.
            FuriosaRuntimeError: This inference failed; the message has its context.
        """
        self._check_open()
        if timeout is not None and not 0 <= timeout < math.inf:
            msg = f"timeout must be a finite number of seconds and not negative, got {timeout!r}"
            raise ValueError(msg)
        return self._queue.recv(timeout)

    def close(self) -> bool:
        """Give no more results, and run nothing any more. Return True the first time."""
        self._closed = True
        was_open = self._queue.close_receiver()
        self._queue.join()
        return was_open

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Received:
        try:
            return self.recv()
        except (SessionClosed, SessionTerminated):
            raise StopIteration from None

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self._queue.close_receiver()


class QueuePair(NamedTuple):
    """The two ends of a queue; as a context manager it closes both.

    Attributes:
        submitter: Takes inputs.
        receiver: Gives results.
    """

    submitter: Submitter
    receiver: Receiver

    def __enter__(self) -> QueuePair:
        return self

    def __exit__(self, *_: object) -> None:
        self.submitter.close()
        self.receiver.close()


def _create_runner(
    choice: Choice, model: ModelSource, options: RunnerOptions, connection: Connection | None = None
) -> Runner:
    choice, backend, program = resolve(choice, model, options)
    return Runner(backend.open_session(program, choice.device, options, connection), choice)


def _create_queue(
    choice: Choice, model: ModelSource, options: RunnerOptions, connection: Connection | None = None
) -> QueuePair:
    choice, backend, program = resolve(choice, model, options)
    queue = backend.open_queue(program, choice.device, options, connection)
    return QueuePair(Submitter(queue), Receiver(queue))
