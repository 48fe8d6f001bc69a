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

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .devices import Choice, choose
from .dtypes import Axis, DataType
from .errors import FuriosaRuntimeError, FuriosaRuntimeWarning, SessionClosed
from .model import Model
from .npu import FuriosaQueue, FuriosaSession, vendor, vendor_errors
from .opening import Order, npu_source, settled
from .ports import QueuePair, Receiver, Submitter
from .runner import Runner
from .source import ModelSource, Precision
from .tensor import Tensor, TensorArray, TensorDesc

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

VENDOR = "furiosa.runtime.sync"


def create_runner(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    precision: Precision | None = None,
) -> Runner:
    """A runner for a model, on the NPU if there is one and on the CPU if not.

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
        BackendUnavailable: A device was ordered that is not there.
        ExtraRequired: The model is TensorFlow Lite, and LiteRT is not installed.
        FuriosaRuntimeError: The model cannot be loaded (ENF, for one, on a CPU), or an option of
            the compiler is unknown or has the wrong type.
        ShapeError: The model cannot have that batch size.
        TypeError: An argument has the wrong type.
        ValueError: A number is less than 1, or the device string is none.
    """
    order = Order(worker_num, batch_size, compiler_config, precision)
    return _runner(choose(device), None, model, order)


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
    """A submitter and a receiver, with workers between them.

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
    order = Order(worker_num, batch_size, compiler_config, precision, *sizes)
    return _queue(choose(device), None, model, order)


class Runtime:
    """A device on which runners and queues are made; closing it closes them.

    Args:
        device: See `furiosa_models.runtime.devices.choose`.

    Attributes:
        choice: The device, and why.

    Raises:
        BackendUnavailable: A device was ordered that is not there.
        FuriosaRuntimeError: The device cannot be had.
    """

    def __init__(self, device: str | None = None) -> None:
        self.choice = choose(device)
        self._vendor: Any = None
        self._closed = False
        self._made: weakref.WeakSet[Runner | Submitter | Receiver] = weakref.WeakSet()
        if self.choice.is_npu:
            with vendor_errors():
                self._vendor = vendor(VENDOR).Runtime(self.choice.device)

    def create_runner(
        self,
        model: ModelSource,
        *,
        worker_num: int | None = None,
        batch_size: int | None = None,
        compiler_config: Mapping[str, Any] | None = None,
        precision: Precision | None = None,
    ) -> Runner:
        """A runner on this device; see `create_runner`."""
        self._check_open()
        order = Order(worker_num, batch_size, compiler_config, precision)
        runner = _runner(self.choice, self._vendor, model, order)
        self._made.add(runner)
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
        """A submitter and a receiver on this device; see `create_queue`."""
        self._check_open()
        sizes = input_queue_size, output_queue_size
        order = Order(worker_num, batch_size, compiler_config, precision, *sizes)
        pair = _queue(self.choice, self._vendor, model, order)
        self._made.update(pair)
        return pair

    def close(self) -> bool:
        """Close it and all that was made on it; True the first time."""
        was_open, self._closed = not self._closed, True
        for made in [*self._made]:
            made.close()
        if was_open and self._vendor is not None:
            with vendor_errors():
                self._vendor.close()
        return was_open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "the runtime is closed: make a new one"
            raise SessionClosed(msg)


def _runner(choice: Choice, runtime: Any, model: ModelSource, order: Order) -> Runner:
    if not choice.is_npu:
        session = order.cpu_session(model, choice)
        return Runner(session, settled(choice, session))
    creator, device = (runtime, None) if runtime else (vendor(VENDOR), choice.device)
    source, options = npu_source(model, choice.num_pe, order.precision), order.npu_options()
    return Runner(FuriosaSession(creator, source, device=device, **options), choice)


def _queue(choice: Choice, runtime: Any, model: ModelSource, order: Order) -> QueuePair:
    if not choice.is_npu:
        return QueuePair.of(order.cpu_queue(model, choice))
    creator, device = (runtime, None) if runtime else (vendor(VENDOR), choice.device)
    source, options = npu_source(model, choice.num_pe, order.precision), order.npu_queue_options()
    return QueuePair.of(FuriosaQueue(creator, source, device=device, **options))
