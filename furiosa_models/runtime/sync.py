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
    shared: bool = False,
) -> Runner:
    """Create a runner for a model, on the NPU if there is one, or else on the CPU.

    Args:
        model: An ONNX or TensorFlow Lite model (bytes, a path, a `ModelProto`), a model of this
            zoo, or, on the NPU, anything that the vendor runtime accepts (ENF).
        device: See `furiosa_models.runtime.devices.choose`.
        worker_num: On the CPU, threads per inference, by default one per CPU that the process may
            use; on the NPU, workers.
        batch_size: First dimension of the inputs, if the model leaves it open or has 1.
        compiler_config: Options of the NPU compiler. On the CPU they are validated but have no
            effect.
        precision: `"int8"` for the quantized program of a zoo model on the CPU. An NPU always runs
            int8.
        shared: Whether several threads will run it at the same time. ONNX Runtime then uses for
            each inference its share of the CPUs, which has a higher total throughput; other
            backends run the inferences one after the other, each on all CPUs.

    Raises:
        BackendUnavailable: The requested device is not available.
        ExtraRequired: The model is TensorFlow Lite, and LiteRT is not installed.
        FuriosaRuntimeError: The model cannot be loaded (such as ENF on a CPU), or a compiler option
            is unknown or has the wrong type.
        ShapeError: The model does not support that batch size.
        TypeError: An argument has the wrong type.
        ValueError: A number is less than 1, or the device string is invalid.
    """
    options = RunnerOptions(worker_num, batch_size, compiler_config, precision, shared=shared)
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
    """Create a submitter and a receiver, with workers between them.

    Args:
        model: As for `create_runner`.
        device: As for `create_runner`.
        worker_num: Number of parallel inferences; on the CPU by default one per CPU that the
            process may use, which has a higher throughput than one inference on all CPUs.
        batch_size: As for `create_runner`.
        input_queue_size: Maximum number of waiting submissions; `submit` blocks while the queue is
            full.
        output_queue_size: Maximum number of waiting results; workers block while the queue is full.
        compiler_config: As for `create_runner`.
        precision: As for `create_runner`.

    Raises:
        BackendUnavailable: The requested device is not available.
        ExtraRequired: The model is TensorFlow Lite, and LiteRT is not installed.
        FuriosaRuntimeError: The model cannot be loaded, or a compiler option is invalid.
        ShapeError: The model does not support that batch size.
        TypeError: An argument has the wrong type.
        ValueError: A number is less than 1, or the device string is invalid.
    """
    sizes = input_queue_size, output_queue_size
    options = RunnerOptions(worker_num, batch_size, compiler_config, precision, *sizes)
    return _create_queue(choose(device), model, options)


class Runtime:
    """A device on which to create runners and queues; closing it closes them.

    Args:
        device: See `furiosa_models.runtime.devices.choose`.

    Attributes:
        choice: The device, and why it was chosen.

    Raises:
        BackendUnavailable: The requested device is not available.
        FuriosaRuntimeError: The device cannot be opened.
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
        """Create a runner on this device; see `create_runner`."""
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
        """Create a submitter and a receiver on this device; see `create_queue`."""
        self._check_open()
        sizes = input_queue_size, output_queue_size
        options = RunnerOptions(worker_num, batch_size, compiler_config, precision, *sizes)
        pair = _create_queue(self.choice, model, options, self._connection)
        self._created.update(pair)
        return pair

    def close(self) -> bool:
        """Close the runtime and everything created on it. Return True on the first call."""
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
            msg = "the runtime is closed: create a new one"
            raise SessionClosed(msg)


class Runner:
    """A loaded model. Thread-safe.

    Attributes:
        choice: The device it runs on, and why.
    """

    def __init__(self, session: BlockingSession, choice: Choice) -> None:
        self._session: BlockingSession | None = session
        self._closing = threading.Lock()
        self.choice = choice

    @property
    def backend(self) -> str:
        """Name of the backend: `furiosa`, `onnxruntime`, `openvino`, `litert` or a user's own."""
        return self.choice.backend

    @property
    def model(self) -> Model:
        """Description of the program's inputs and outputs."""
        model: Model = self._open().model
        return model

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""
        return self._open().takes_batches

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return new input tensors filled with zeros."""
        return self._open().allocate()

    def run(self, inputs: Tensor | Sequence[Tensor]) -> list[npt.NDArray[Any]]:
        """Return the outputs for one input or a list of inputs. Inputs are not copied.

        Raises:
            TypeError: An input has the wrong dtype.
            InvalidInput: An input has the wrong shape, or the number of inputs is wrong.
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
            TypeError: An input has the wrong dtype.
            InvalidInput: An input is missing, or has the wrong shape.
            SessionClosed: The runner was closed.
            FuriosaRuntimeError: The inference failed.
        """
        return self._open().run_with(output_names, inputs)

    def close(self) -> bool:
        """Free the model. Return True on the first call."""
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
    """Base of the two ends of a queue."""

    def __init__(self, queue: BlockingQueue) -> None:
        self._queue = queue
        self._closed = False

    @property
    def model(self) -> Model:
        """Description of the program's inputs and outputs."""
        self._check_open()
        model: Model = self._queue.model
        return model

    def close(self) -> bool:
        """Close it. Return True on the first call."""
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
    """The input end of a queue. Thread-safe."""

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Return new input tensors filled with zeros."""
        self._check_open()
        return self._queue.allocate()

    def submit(self, inputs: Tensor | Sequence[Tensor], context: Any = None) -> None:
        """Put one input or a list of inputs into the queue; wait while it is full.

        The inputs are not copied: do not modify them before the result has arrived.

        Args:
            inputs: The inputs.
            context: Any object; `Receiver.recv` returns it with the outputs.

        Raises:
            TypeError: An input has the wrong dtype.
            InvalidInput: An input has the wrong shape, or the number of inputs is wrong.
            SessionClosed: The submitter was closed.
            SessionTerminated: The receiver was closed.
        """
        self._check_open()
        self._queue.submit(inputs, context)

    def close(self) -> bool:
        """Accept no more inputs; run those in the queue. Return True on the first call."""
        self._closed = True
        return self._queue.close_submitter()

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self._queue.close_submitter()


class Receiver(_QueueEnd):
    """The output end of a queue. Results come in the order in which they complete.

    Iterating yields results until the submitter is closed and all results were received.
    """

    def recv(self, timeout: float | None = None) -> Received:
        """Return the next result: the context of its submission, and the outputs.

        Args:
            timeout: Seconds to wait; forever by default.

        Raises:
            ValueError: The timeout is negative or not finite.
            QueueWaitTimeout: No result arrived in time (a `TimeoutError`).
            SessionTerminated: The submitter was closed, and all results were received.
            SessionClosed: The receiver was closed.
            FuriosaRuntimeError: The inference failed; the message contains its context.
        """
        self._check_open()
        if timeout is not None and not 0 <= timeout < math.inf:
            msg = f"timeout must be a finite, non-negative number of seconds, got {timeout!r}"
            raise ValueError(msg)
        return self._queue.recv(timeout)

    def close(self) -> bool:
        """Discard all submissions and results. Return True on the first call."""
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
    choice, backend, program, options = resolve(choice, model, options, may_tune=True)
    return Runner(backend.open_session(program, choice.device, options, connection), choice)


def _create_queue(
    choice: Choice, model: ModelSource, options: RunnerOptions, connection: Connection | None = None
) -> QueuePair:
    choice, backend, program, options = resolve(choice, model, options)
    queue = backend.open_queue(program, choice.device, options, connection)
    return QueuePair(Submitter(queue), Receiver(queue))
