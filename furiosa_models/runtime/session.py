"""The API before 0.10: `session.create` and `session.create_async`, with a `FutureWarning`.

Differences from `furiosa_models.runtime.sync`: a session itself has `inputs()` and the other
methods of the model, inputs are copied, outputs have `.numpy()`, and timeouts are in milliseconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from . import sync
from .errors import InvalidDtype, InvalidInput, SessionClosed
from .source import ModelSource, ScaledSource
from .tensor import Model, as_tensors, zeros

__all__ = [
    "AsyncSession",
    "CompletionQueue",
    "Session",
    "Tensor",
    "TensorArray",
    "create",
    "create_async",
]

_LARGE = 1 << 16  # queues were unbounded before 0.10


class Tensor(np.ndarray[Any, Any]):
    """A tensor: an array with the methods that tensors had before 0.10."""

    def numpy(self) -> npt.NDArray[Any]:
        """Return a copy as a plain array."""
        return np.array(self, subok=False)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype."""
        dtype: np.dtype[Any] = self.dtype
        return dtype

    def copy_from(self, data: npt.ArrayLike) -> None:
        """Copy an array of this shape and dtype into the tensor.

        Raises:
            InvalidInput: The array has another shape or dtype.
        """
        array = np.asarray(data)
        if array.dtype != self.dtype:
            msg = f"expected the dtype {self.dtype}, got {array.dtype}"
            raise InvalidDtype(msg)
        if array.shape != self.shape:
            msg = f"expected the shape {self.shape}, got {array.shape}"
            raise InvalidInput(msg)
        self[...] = array

    def __eq__(self, other: object) -> Any:
        """Return whether two tensors are equal; compare elementwise with anything else."""
        if isinstance(other, Tensor):
            return np.array_equal(np.asarray(self), np.asarray(other))
        return np.asarray(self) == other

    def __ne__(self, other: object) -> Any:
        found = self == other
        return not found if isinstance(found, bool) else ~found

    __hash__ = None  # like arrays


class TensorArray(list[Tensor]):
    """Inputs or outputs: a list with the methods that it had before 0.10."""

    @classmethod
    def of(cls, arrays: Iterable[npt.NDArray[Any]]) -> TensorArray:
        """Return arrays as tensors that share their memory."""
        return cls(np.asarray(array).view(Tensor) for array in arrays)

    def is_empty(self) -> bool:
        """Return whether there are no tensors."""
        return not self

    @overload
    def __getitem__(self, key: SupportsIndex) -> Tensor: ...
    @overload
    def __getitem__(self, key: slice) -> TensorArray: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Tensor | TensorArray:
        if isinstance(key, slice):
            return TensorArray(super().__getitem__(key))
        return super().__getitem__(key)

    def __setitem__(self, key: Any, data: Any) -> None:
        """Copy an array into a tensor, or arrays into several."""
        if isinstance(key, slice):
            for tensor, each in zip(self[key], data, strict=True):
                tensor.copy_from(each)
        else:
            self[key].copy_from(data)

    def view(self) -> list[npt.NDArray[Any]]:
        """Return the tensors as plain arrays that share their memory."""
        return [np.asarray(tensor) for tensor in self]

    def numpy(self) -> list[npt.NDArray[Any]]:
        """Return copies of the tensors as plain arrays."""
        return [tensor.numpy() for tensor in self]


class _ModelProxy:
    """Base of objects that forward the methods of `Model` and can be closed."""

    _MODEL = frozenset(
        {"input", "input_num", "inputs", "output", "output_num", "outputs", "summary"}
        | {"print_summary"}
    )

    def __init__(
        self,
        wrapped: sync.Runner | sync.Submitter | sync.Receiver,
        model: ModelSource | None = None,
    ) -> None:
        self._wrapped = wrapped
        self._scale = model.scale if isinstance(model, ScaledSource) else None
        self._is_closed = False

    @property
    def model(self) -> Model:
        """Description of the program's inputs and outputs."""
        self._check_open()
        return self._wrapped.model

    def close(self) -> bool:
        """Close it. Return True on the first call."""
        self._is_closed = True
        return self._wrapped.close()

    def allocate_inputs(self) -> TensorArray:
        """Return zero-filled input tensors; `inputs[0] = array` copies an array into one."""
        return TensorArray.of(zeros(desc) for desc in self.model.inputs())

    create_inputs = allocate_inputs

    def allocate_outputs(self) -> TensorArray:
        """Return zero-filled output tensors."""
        return TensorArray.of(zeros(desc) for desc in self.model.outputs())

    create_outputs = allocate_outputs

    def _check_open(self) -> None:
        if self._is_closed:
            msg = f"this {type(self).__name__} was closed: create a new one"
            raise SessionClosed(msg)

    def _tensors(self, inputs: Any) -> list[Any]:
        """Return copies of the inputs in the form that the program takes."""
        self._check_open()
        return [self._scale_pixels(_copy(tensor)) for tensor in as_tensors(inputs)]

    def _scale_pixels(self, tensor: Any) -> Any:
        """Scale a uint8 tensor if the program takes float32."""
        is_pixels = isinstance(tensor, np.ndarray) and tensor.dtype == np.uint8
        return self._scale(tensor) if self._scale is not None and is_pixels else tensor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in self._MODEL:
            return getattr(self.model, name)
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(msg)


class Session(_ModelProxy):
    """A runner."""

    _wrapped: sync.Runner

    def run(self, inputs: Any) -> TensorArray:
        """Return the outputs for one input or a list of inputs. Inputs are copied.

        Raises:
            InvalidInput: An input has the wrong shape or dtype, or the number of inputs is wrong.
            SessionClosed: The session was closed.
        """
        tensors = self._tensors(inputs)
        with _legacy_errors():
            return TensorArray.of(self._wrapped.run(tensors))

    def run_with(
        self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> TensorArray:
        """Return the named outputs for inputs by name. Inputs are copied.

        Raises:
            InvalidInput: An input has the wrong shape or dtype, or the number of inputs is wrong.
            SessionClosed: The session was closed.
        """
        self._check_open()
        copies = {name: self._scale_pixels(np.array(tensor)) for name, tensor in inputs.items()}
        with _legacy_errors():
            return TensorArray.of(self._wrapped.run_with(outputs, copies))


class AsyncSession(_ModelProxy):
    """The input end of a queue."""

    _wrapped: sync.Submitter

    def submit(self, values: Any, context: object = None) -> None:
        """Put one input or a list of inputs into the queue. Inputs are copied."""
        tensors = self._tensors(values)
        with _legacy_errors():
            self._wrapped.submit(tensors, context)


class CompletionQueue(_ModelProxy):
    """The output end of a queue. Iterating yields results until the input end is closed."""

    _wrapped: sync.Receiver

    def recv(self, timeout: int | None = None) -> tuple[Any, TensorArray]:
        """Return the next result: the context of its submission, and the outputs.

        Args:
            timeout: Milliseconds to wait; forever by default.

        Raises:
            QueueWaitTimeout: No result arrived in time.
            SessionTerminated: The input end was closed, and all results were received.
            SessionClosed: This end was closed.
        """
        context, outputs = self._wrapped.recv(None if timeout is None else timeout / 1000)
        return context, TensorArray.of(outputs)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Any, TensorArray]:
        context, outputs = next(self._wrapped)
        return context, TensorArray.of(outputs)


def create(
    model: ModelSource,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    compiler_hints: bool | None = None,  # noqa: ARG001
    *,
    compile_config: Mapping[str, Any] | None = None,
) -> Session:
    """Create a session; see `furiosa_models.runtime.sync.create_runner`.

    `compile_config` is the name of `compiler_config` in furiosa-sdk 0.5.
    """
    _warn("create", "create_runner")
    runner = sync.create_runner(
        model,
        device=device,
        worker_num=worker_num,
        batch_size=batch_size,
        compiler_config=compile_config if compiler_config is None else compiler_config,
    )
    return Session(runner, model)


def create_async(
    model: ModelSource,
    context_ty: type | None = None,  # noqa: ARG001
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_hints: bool | None = None,  # noqa: ARG001
    input_queue_size: int | None = None,
    output_queue_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
) -> tuple[AsyncSession, CompletionQueue]:
    """Create a queue; see `furiosa_models.runtime.sync.create_queue`."""
    _warn("create_async", "create_queue")
    submitter, receiver = sync.create_queue(
        model,
        device=device,
        worker_num=worker_num,
        batch_size=batch_size,
        input_queue_size=input_queue_size or _LARGE,
        output_queue_size=output_queue_size or _LARGE,
        compiler_config=compiler_config,
    )
    return AsyncSession(submitter, model), CompletionQueue(receiver)


def _warn(old: str, new: str) -> None:
    msg = f"session.{old} is the API before 0.10: use furiosa_models.runtime.sync.{new}"
    warnings.warn(msg, FutureWarning, stacklevel=3)


def _copy(tensor: Any) -> Any:
    return np.array(tensor) if hasattr(tensor, "__array_interface__") else tensor


@contextmanager
def _legacy_errors() -> Iterator[None]:
    """Raise InvalidInput where the current API raises a plain TypeError."""
    try:
        yield
    except InvalidInput:
        raise
    except TypeError as error:
        raise InvalidDtype(str(error)) from error
