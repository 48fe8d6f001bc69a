"""The API of before 0.10: `session.create` and `session.create_async`, with a `FutureWarning`.

What differs from `furiosa_models.runtime.sync`: a session has the model's `inputs()` and so on
itself, inputs are copied, outputs have `.numpy()`, and timeouts are in milliseconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from . import sync
from .source import ModelSource
from .tensor import Model, as_tensors

__all__ = ["AsyncSession", "CompletionQueue", "Session", "TensorArray", "create", "create_async"]

_LARGE = 1 << 16  # its queues were unbounded


class Tensor(np.ndarray[Any, Any]):
    """An output: an array with the methods of before 0.10."""

    def numpy(self) -> npt.NDArray[Any]:
        """Return a copy as a plain array."""
        return np.array(self, subok=False)


class TensorArray(list[Tensor]):
    """Outputs: a list with the methods of before 0.10."""

    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self

    def view(self) -> list[npt.NDArray[Any]]:
        """Return the outputs as plain arrays that share their memory."""
        return [np.asarray(tensor) for tensor in self]

    def numpy(self) -> list[npt.NDArray[Any]]:
        """Return copies of the outputs as plain arrays."""
        return [tensor.numpy() for tensor in self]


class _Described:
    """Something that has the methods of `Model` itself, and is closed."""

    _MODEL = frozenset(
        {"input", "input_num", "inputs", "output", "output_num", "outputs", "summary"}
        | {"print_summary"}
    )

    def __init__(self, wrapped: sync.Runner | sync.Submitter | sync.Receiver) -> None:
        self._wrapped = wrapped

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        return self._wrapped.model

    def close(self) -> bool:
        """Close it. Return True the first time."""
        return self._wrapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in self._MODEL:
            return getattr(self.model, name)
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(msg)


class Session(_Described):
    """A runner."""

    _wrapped: sync.Runner

    def run(self, inputs: Any) -> TensorArray:
        """Return the outputs for one input or a list of them, which are copied."""
        return _array(self._wrapped.run(_copies(inputs)))

    def run_with(
        self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> TensorArray:
        """Return the named outputs for inputs by name, which are copied."""
        copies = {name: np.array(tensor) for name, tensor in inputs.items()}
        return _array(self._wrapped.run_with(outputs, copies))


class AsyncSession(_Described):
    """The end of a queue that takes inputs."""

    _wrapped: sync.Submitter

    def submit(self, values: Any, context: object = None) -> None:
        """Put one input, or a list of them, which are copied, into the queue."""
        self._wrapped.submit(_copies(values), context)


class CompletionQueue(_Described):
    """The end of a queue that gives results; iterating gives them until the other is closed."""

    _wrapped: sync.Receiver

    def recv(self, timeout: int | None = None) -> tuple[Any, TensorArray]:
        """Return a result: the context of its submission, and the outputs.

        Args:
            timeout: Milliseconds to wait; as long as it takes by default.

        Raises:
            QueueWaitTimeout: None came in time.
            SessionTerminated: The other end was closed, and all results have come.
            SessionClosed: This end was closed.
        """
        context, outputs = self._wrapped.recv(None if timeout is None else timeout / 1000)
        return context, _array(outputs)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Any, TensorArray]:
        context, outputs = next(self._wrapped)
        return context, _array(outputs)


def create(
    model: ModelSource,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
    compiler_hints: bool | None = None,  # noqa: ARG001
) -> Session:
    """Return a session; see `furiosa_models.runtime.sync.create_runner`."""
    _warn("create", "create_runner")
    runner = sync.create_runner(
        model,
        device=device,
        worker_num=worker_num,
        batch_size=batch_size,
        compiler_config=compiler_config,
    )
    return Session(runner)


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
    """Return a queue; see `furiosa_models.runtime.sync.create_queue`."""
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
    return AsyncSession(submitter), CompletionQueue(receiver)


def _warn(old: str, new: str) -> None:
    msg = f"session.{old} is of before 0.10: use furiosa_models.runtime.sync.{new}"
    warnings.warn(msg, FutureWarning, stacklevel=3)


def _copies(inputs: Any) -> list[Any]:
    return [np.array(t) if hasattr(t, "__array_interface__") else t for t in as_tensors(inputs)]


def _array(outputs: Sequence[npt.NDArray[Any]]) -> TensorArray:
    return TensorArray(np.asarray(output).view(Tensor) for output in outputs)
