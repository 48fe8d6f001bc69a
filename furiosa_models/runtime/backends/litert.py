"""LiteRT: what runs TensorFlow Lite files on a CPU, quantized ones in 8 bits.

An interpreter has memory of its own for every tensor between input and output, so it serves one
inference at a time. A runner has one, with all threads, for which callers wait; a queue has one for
each worker, with its share of the threads. More of them would only divide the same CPUs, and keep
another copy of the packed weights each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..._lazy import install_hint, require
from ...errors import ShapeError
from ..errors import FuriosaRuntimeError
from ..machine import Fact, cpu_fingerprint, version_of
from ..source import is_tflite
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, Backend, Pool, Session, Setup

__all__ = ["LiteRtBackend"]

_PACKAGE = "ai-edge-litert"
_EXTRA = "tflite"


class LiteRtBackend(Backend):
    """LiteRT, which takes the TensorFlow Lite models of the device `cpu`."""

    name, title = "litert", "LiteRT"
    place = "the CPU, by LiteRT"
    hint = "it has the form of a TensorFlow Lite model"

    def matches(self, device: str) -> bool:
        """Whether the device is `cpu`."""
        return device == "cpu"

    def problem(self, device: str | None = None) -> str | None:
        """Return how to install LiteRT where it is missing."""
        del device
        if version_of(_PACKAGE) is not None:
            return None
        return f"LiteRT is not installed: {install_hint(_EXTRA)}"

    def fingerprint(self) -> str:
        """Return the version and the CPU."""
        return f"{version_of(_PACKAGE)} {cpu_fingerprint()}"

    def facts(self) -> list[Fact]:
        """Return which version is installed."""
        found = version_of(_PACKAGE)
        advice = "" if found else f"TensorFlow Lite models: {install_hint(_EXTRA)}"
        return [Fact(self.title, found or "not installed", None, advice)]

    def takes(self, program: Any) -> bool:
        """Whether it is a TensorFlow Lite model."""
        return is_tflite(program)

    def load(self, program: Any, setup: Setup) -> Session:
        """Return a session of a model.

        Raises:
            ExtraRequired: LiteRT is not installed.
            ShapeError: The model cannot have that batch size.
        """
        interpreter = require(
            "ai_edge_litert.interpreter", "TensorFlow Lite models run on LiteRT", extra=_EXTRA
        )
        return _LiteRtSession(self, program, setup, interpreter.Interpreter)


class _LiteRtSession(Session):
    """A TensorFlow Lite model in LiteRT.

    Inputs are copied into the interpreter, whose memory they need to be in. The stages of a
    quantized model are not undone: its inputs and outputs have the dtype of the file.
    """

    def __init__(
        self, backend: LiteRtBackend, program: bytes | str, setup: Setup, interpreter_class: Any
    ) -> None:
        self._program, self._setup = program, setup
        self._interpreter_class = interpreter_class
        first = self._interpreter()
        inputs, outputs = first.get_input_details(), first.get_output_details()
        model = Model(
            [self._describe(detail) for detail in inputs],
            [self._describe(detail) for detail in outputs],
        )
        super().__init__(backend, model)
        self._inputs = [detail["index"] for detail in inputs]
        self._outputs = [detail["index"] for detail in outputs]
        self._pool = Pool(first, self._interpreter, setup.parallel)

    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all of them."""
        with self._pool.one() as interpreter:
            self._fit(interpreter, tensors)
            for index, tensor in zip(self._inputs, tensors, strict=True):
                interpreter.set_tensor(index, tensor)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._indices(output_names)]

    def _fit(self, interpreter: Any, tensors: Arrays) -> None:
        """Resize the interpreter's inputs to these tensors, where any size goes."""
        if not any(desc.open_dims for desc in self.model.inputs()):
            return
        resized = False
        for detail, tensor in zip(interpreter.get_input_details(), tensors, strict=True):
            if tuple(detail["shape"]) != tensor.shape:
                interpreter.resize_tensor_input(detail["index"], tensor.shape)
                resized = True
        if resized:
            interpreter.allocate_tensors()

    def _indices(self, names: Sequence[str] | None) -> Iterable[int]:
        if names is None:
            return self._outputs
        known = [desc.name for desc in self.model.outputs()]
        return [self._outputs[known.index(name)] for name in names]

    def _interpreter(self) -> Any:
        kind = "model_content" if isinstance(self._program, bytes) else "model_path"
        threads = self._setup.threads
        interpreter = self._interpreter_class(num_threads=threads, **{kind: self._program})
        if self._setup.batch_size is not None:
            _set_batch_size(interpreter, self._setup.batch_size)
        interpreter.allocate_tensors()
        return interpreter

    def _describe(self, detail: dict[str, Any]) -> TensorDesc:
        try:
            dtype = DataType(detail["dtype"])
        except ValueError:
            kind = getattr(detail["dtype"], "__name__", detail["dtype"])
            msg = f"{detail['name']!r} is of {kind}, which a runner neither takes nor gives"
            raise FuriosaRuntimeError(msg) from None
        sizes: list[int | None] = [int(size) for size in detail["shape"]]
        for i, size in enumerate(detail["shape_signature"][: len(sizes)]):
            # A batch size that was set is open no longer, but the signature does not know of it.
            if size < 0 and (i > 0 or self._setup.batch_size is None):
                sizes[i] = None
        return TensorDesc.of(detail["name"], sizes, dtype)


def _set_batch_size(interpreter: Any, batch_size: int) -> None:
    """Resize every input; raise `ShapeError` where the graph does not follow."""
    for detail in interpreter.get_input_details():
        interpreter.resize_tensor_input(detail["index"], [batch_size, *detail["shape"][1:]])
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise _wrong_batch_size(batch_size, str(error)) from error
    for detail in interpreter.get_output_details():
        size = [*detail["shape"], batch_size][0]
        if size != batch_size:
            problem = f"output {detail['name']!r} has {size} rows whatever goes in"
            raise _wrong_batch_size(batch_size, problem)


def _wrong_batch_size(batch_size: int, problem: str) -> ShapeError:
    msg = (
        f"the model cannot have batch size {batch_size}: {problem}; convert it with an open batch "
        "dimension, or run the images one by one"
    )
    return ShapeError(msg)
