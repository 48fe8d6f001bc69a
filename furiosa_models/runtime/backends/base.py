"""What every backend of the CPU is: a model that was loaded, and runs."""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy.typing as npt

from ...errors import FuriosaModelsError
from ..errors import FuriosaRuntimeError
from ..profiling import inference
from ..source import is_tflite
from ..tensor import Model, as_tensors

__all__ = ["Arrays", "ComputePrecision", "Pool", "Session", "Setup"]

Arrays: TypeAlias = "list[npt.NDArray[Any]]"
ComputePrecision: TypeAlias = Literal["f32", "bf16", "f16"]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a session is to run.

    Attributes:
        threads: Threads that share the work of one inference.
        parallel: Inferences that may run at the same time.
        batch_size: First dimension of the inputs, where the model leaves it open or at 1.
        precision: What a float32 graph is computed in, by backends that have a choice.
    """

    threads: int
    parallel: int = 1
    batch_size: int | None = None
    precision: ComputePrecision = "f32"


class Session(ABC):
    """A loaded model; safe to use from many threads.

    A backend imports its library in `__init__` only, sets `model` there, and has one more method,
    `_run`. What that raises is told as a `FuriosaRuntimeError`.

    Args:
        program: The model's bytes, or the path of its file.
        setup: How it is to run.

    Attributes:
        name: The backend's name, as in `Runner.backend`.
        title: The same, for people.
        model: What the model takes and gives.

    Raises:
        FuriosaRuntimeError: The backend cannot load the model.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    model: Model

    @abstractmethod
    def __init__(self, program: bytes | str, setup: Setup) -> None: ...

    @classmethod
    def takes(cls, program: bytes | str) -> bool:
        """Whether the backend is for programs of this kind: ONNX, unless it says otherwise."""
        return not is_tflite(program)

    def run(self, inputs: object) -> Arrays:
        """Outputs for one input or an iterable of them; raises as `Model.check`."""
        return self._checked(self.model.check(as_tensors(inputs)), None)

    def run_with(self, output_names: Sequence[str], inputs: Mapping[str, Any]) -> Arrays:
        """The named outputs for inputs by name; raises as `Model.check_named`."""
        tensors = self.model.check_named(output_names, inputs)
        return self._checked(tensors, output_names) if output_names else []

    def allocate(self) -> Arrays:
        """Fresh input tensors, all zero."""
        return self.model.allocate()

    def close(self) -> None:  # noqa: B027
        """Nothing: the memory goes with the last reference."""

    def _checked(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        try:
            with inference(self.name):
                return self._run(tensors, output_names)
        except Exception as error:  # these libraries' exceptions share no public base
            msg = f"{self.title} failed: {_text(error)}"
            raise FuriosaRuntimeError(msg) from error

    @abstractmethod
    def _run(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """The named outputs, or all of them, for tensors that fit the model's inputs."""

    @classmethod
    @contextmanager
    def _loading(cls, program: bytes | str, hint: str) -> Iterator[None]:
        """Tell of what goes wrong while a program is loaded, with a hint at the cause."""
        try:
            yield
        except FuriosaModelsError:
            raise
        except Exception as error:  # as above
            given = isinstance(program, bytes)
            name = f"the {len(program)} bytes given" if given else repr(program)
            msg = f"{cls.title} cannot load {name} ({hint}): {_text(error)}"
            raise FuriosaRuntimeError(msg) from error


class Pool(Generic[Item]):
    """Things that serve one thread at a time, made when first needed.

    Args:
        first: One of them.
        make: Makes another.
        size: Most of them; who wants one more waits for one to come back.
    """

    def __init__(self, first: Item, make: Callable[[], Item], size: int) -> None:
        self._make = make
        self._free: queue.LifoQueue[Item | None] = queue.LifoQueue()
        for _ in range(size - 1):
            self._free.put(None)
        self._free.put(first)

    @contextmanager
    def one(self) -> Iterator[Item]:
        """One of them; it does not come back if the work with it fails."""
        item, back = self._free.get(), None
        try:
            item = self._make() if item is None else item
            yield item
            back = item
        finally:
            self._free.put(back)


def _text(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
