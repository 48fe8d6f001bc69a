"""What the blocking and the awaitable runtime have in common: orders, and how they are met."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .backends import Session, Setup, open_session
from .compiler import check_compiler_config
from .devices import Choice
from .errors import FuriosaRuntimeError
from .machine import available_cpus
from .queue import DEFAULT_QUEUE_SIZE, Pipeline
from .source import ModelSource, Precision, ZooModel, program_of

__all__ = ["Order", "npu_source", "settled"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """Options of a runner or queue; None leaves a choice to the backend.

    Attributes:
        worker_num: Threads on the CPU; workers on the NPU.
        batch_size: First dimension of the inputs.
        compiler_config: Options of the NPU compiler.
        precision: `"fp32"` or `"int8"` program of a model of the zoo.
        input_queue_size: Submissions that may wait.
        output_queue_size: Results that may wait.
    """

    worker_num: int | None = None
    batch_size: int | None = None
    compiler_config: Mapping[str, Any] | None = None
    precision: Precision | None = None
    input_queue_size: int | None = None
    output_queue_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("worker_num", "batch_size", "input_queue_size", "output_queue_size"):
            _check_positive(name, getattr(self, name))

    def cpu_session(self, model: ModelSource, choice: Choice) -> Session:
        """A session on the CPU: all threads work on one inference."""
        return self._session(model, choice, self.worker_num or available_cpus(), 1)

    def cpu_queue(self, model: ModelSource, choice: Choice) -> Pipeline:
        """A queue on the CPU: each worker has an inference of its own."""
        workers = self.worker_num or available_cpus()
        session = self._session(model, choice, max(1, available_cpus() // workers), workers)
        sizes = self.input_queue_size, self.output_queue_size
        return Pipeline(session, workers, *(size or DEFAULT_QUEUE_SIZE for size in sizes))

    def npu_options(self) -> dict[str, Any]:
        """Keyword arguments of the vendor's `create_runner`."""
        config = None if self.compiler_config is None else dict(self.compiler_config)
        return {
            "worker_num": self.worker_num,
            "batch_size": self.batch_size,
            "compiler_config": config,
        }

    def npu_queue_options(self) -> dict[str, Any]:
        """Keyword arguments of the vendor's `create_queue`."""
        sizes = {
            "input_queue_size": self.input_queue_size,
            "output_queue_size": self.output_queue_size,
        }
        return {**self.npu_options(), **sizes}

    def _session(self, model: ModelSource, choice: Choice, threads: int, parallel: int) -> Session:
        check_compiler_config(self.compiler_config)
        program = program_of(model, self.precision)
        setup = Setup(threads, parallel, self.batch_size, choice.precision)
        return open_session(choice.backend, program, setup)


def settled(choice: Choice, session: Session) -> Choice:
    """The choice, now that it is known which backend takes the model."""
    if choice.backend == session.name:
        return choice
    reason = f"{choice.reason}; the model is TensorFlow Lite"
    logger.info("running on %s: %s", session.name, reason)
    return replace(choice, backend=session.name, reason=reason)


def npu_source(model: ModelSource, num_pe: Literal[1, 2], precision: Precision | None) -> Any:
    """The model as the vendor runtime takes it: a model of the zoo as its program of the NPU.

    Raises:
        FuriosaRuntimeError: Another precision is asked for than that of an NPU.
    """
    if precision == "fp32":
        msg = "an NPU computes in int8; precision='fp32' needs device='cpu'"
        raise FuriosaRuntimeError(msg)
    if isinstance(model, ZooModel):
        return model.npu_program(num_pe)
    return model.SerializeToString() if hasattr(model, "SerializeToString") else model


def _check_positive(name: str, value: object) -> None:
    """Check an optional count.

    Raises:
        TypeError: It is no integer.
        ValueError: It is less than 1.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name} must be an integer, got {value!r}"
        raise TypeError(msg)
    if value < 1:
        msg = f"{name} must be at least 1, got {value}"
        raise ValueError(msg)
