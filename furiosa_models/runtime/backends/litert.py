"""LiteRT runs TensorFlow Lite models on the CPU, quantized ones in 8 bits.

An interpreter owns the memory of all intermediate tensors, so it runs one inference at a time. A
runner has one interpreter with all threads, and callers wait for it. A queue has one interpreter
per worker, with its share of the threads. More interpreters would only compete for the same CPUs,
and each would hold another copy of the packed weights.
"""

from __future__ import annotations

import ast
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from ..._lazy import install_hint, require
from ...enums import Format
from ...errors import ShapeError, WeightsError
from ...labels import parse_names
from ...spec import GraphFacts, TensorFacts
from ..errors import FuriosaRuntimeError
from ..machine import Fact, cpu_fingerprint, installed_version
from ..source import is_tflite
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, Backend, Pool, Session, Setup

__all__ = ["LiteRtBackend", "archived_names", "describe", "is_installed"]

_PACKAGE = "ai-edge-litert"
_EXTRA = "tflite"
_MAX_TEXT = 1 << 20
_ONNX_NAMES = {"LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax", "ARG_MAX": "ArgMax"}
_SHAPE_OPERATIONS = frozenset(
    {"RESHAPE", "TRANSPOSE", "CONCATENATION", "SQUEEZE", "SLICE", "STRIDED_SLICE", "DEQUANTIZE"}
    | {"QUANTIZE", "PACK", "UNPACK", "CAST", "EXPAND_DIMS", "SPLIT"}
)


class LiteRtBackend(Backend):
    """LiteRT, for TensorFlow Lite models on the device `cpu`."""

    name, title = "litert", "LiteRT"
    place = "the CPU, by LiteRT"
    hint = "it has the form of a TensorFlow Lite model"
    threaded = True
    exact = ("cpu",)

    def matches(self, device: str) -> bool:
        """Return whether the device is `cpu`."""
        return device == "cpu"

    def problem(self, device: str | None = None) -> str | None:
        """Return how to install LiteRT if it is missing."""
        del device
        if is_installed():
            return None
        return f"LiteRT is not installed: {install_hint(_EXTRA)}"

    def fingerprint(self) -> str:
        """Return the version of LiteRT and the CPU."""
        return f"{installed_version(_PACKAGE)} {cpu_fingerprint()}"

    def facts(self) -> list[Fact]:
        """Return the installed version."""
        found = installed_version(_PACKAGE)
        advice = "" if found else f"TensorFlow Lite models: {install_hint(_EXTRA)}"
        return [Fact(self.title, found or "not installed", None, advice)]

    def takes(self, program: Any) -> bool:
        """Return whether a program is a TensorFlow Lite model."""
        return is_tflite(program)

    def load(self, program: Any, setup: Setup) -> Session:
        """Load a TensorFlow Lite model.

        Raises:
            ExtraRequired: LiteRT is not installed.
            ShapeError: The model does not support that batch size.
        """
        interpreter = require(
            "ai_edge_litert.interpreter", "TensorFlow Lite models run on LiteRT", extra=_EXTRA
        )
        return _LiteRtSession(self, program, setup, interpreter.Interpreter)


def describe(program: bytes) -> GraphFacts:
    """Return what a TensorFlow Lite file contains, as `networks.edit.describe` does for ONNX.

    Class names come from a labels or metadata file in the zip archive at the end of the file.

    Raises:
        ExtraRequired: LiteRT is not installed.
        WeightsError: The file cannot be loaded.
    """
    made = require(
        "ai_edge_litert.interpreter", "TensorFlow Lite models run on LiteRT", extra=_EXTRA
    )
    try:
        interpreter = made.Interpreter(model_content=program)
        interpreter.allocate_tensors()
        operations = _operations(interpreter)
        inputs = tuple(_facts(detail, {}) for detail in interpreter.get_input_details())
        outputs = tuple(_facts(detail, operations) for detail in interpreter.get_output_details())
    except (RuntimeError, ValueError) as error:
        msg = f"the TensorFlow Lite file of {len(program)} bytes cannot be loaded: {error}"
        raise WeightsError(msg) from error
    return GraphFacts(inputs, outputs, archived_names(program), Format.TFLite)


def _facts(detail: dict[str, Any], operations: dict[int, frozenset[str]]) -> TensorFacts:
    shape = tuple(
        None if size < 0 else int(size) for size in detail.get("shape_signature", detail["shape"])
    )
    scale, zero = detail["quantization"]
    return TensorFacts(
        detail["name"],
        shape,
        detail["dtype"].__name__,
        operations.get(detail["index"], frozenset()),
        None,
        (float(scale), int(zero)) if scale else None,
    )


def _operations(interpreter: Any) -> dict[int, frozenset[str]]:
    """Return the operations that computed each tensor, by their ONNX names if they have one."""
    every: list[dict[str, Any]] = getattr(interpreter, "_get_ops_details", list)()
    # A delegate, such as XNNPACK, is listed behind the operations that it replaces.
    details = [op for op in every if op["op_name"] != "DELEGATE"]
    producers = {int(out): op for op in details for out in op["outputs"]}
    found: dict[int, frozenset[str]] = {}
    for op in details:  # in execution order
        name, inputs = op["op_name"], [int(i) for i in op["inputs"] if int(i) in producers]
        passed = [found.get(i, frozenset()) for i in inputs]
        own = frozenset({_ONNX_NAMES.get(name, name.title())})
        kinds = frozenset().union(*passed) if name in _SHAPE_OPERATIONS and passed else own
        found |= {int(out): kinds for out in op["outputs"]}
    return found


def is_installed() -> bool:
    """Return whether LiteRT is installed."""
    return installed_version(_PACKAGE) is not None


def archived_names(program: bytes) -> dict[str, str]:
    """Return class names from the archive that converters append to the file."""
    if not zipfile.is_zipfile(io.BytesIO(program)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(program)) as archive:
            for member in archive.infolist():
                if not member.filename.endswith((".txt", ".json")) or member.file_size > _MAX_TEXT:
                    continue
                text = archive.read(member).decode("utf-8", "replace")
                if names := parse_names(_names_field(text)):
                    return {"names": json.dumps(names)}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error):
        return {}
    return {}


def _names_field(text: str) -> str:
    """Return the names in a metadata file, or the text itself if it is a list of names."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        document = json.loads(text)
    except ValueError:
        try:
            document = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ""
    names = document.get("names", document) if isinstance(document, dict) else document
    return repr(names)


class _LiteRtSession(Session):
    """A TensorFlow Lite model in LiteRT.

    Inputs are copied into the interpreter's memory. Inputs and outputs have the dtypes of the file:
    those of a quantized model are not converted to float32.
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
        """Return the named outputs, or all."""
        with self._pool.borrow() as interpreter:
            self._fit(interpreter, tensors)
            for index, tensor in zip(self._inputs, tensors, strict=True):
                interpreter.set_tensor(index, tensor)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._indices(output_names)]

    def _fit(self, interpreter: Any, tensors: Arrays) -> None:
        """Resize dimensions of any size to the shapes of these tensors."""
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
            msg = f"{detail['name']!r} has the element type {kind}, which runners do not support"
            raise FuriosaRuntimeError(msg) from None
        sizes: list[int | None] = [int(size) for size in detail["shape"]]
        for i, size in enumerate(detail["shape_signature"][: len(sizes)]):
            # The signature does not reflect a batch size that was set.
            if size < 0 and (i > 0 or self._setup.batch_size is None):
                sizes[i] = None
        return TensorDesc.of(detail["name"], sizes, dtype)


def _set_batch_size(interpreter: Any, batch_size: int) -> None:
    """Resize every input to a batch size.

    Raises:
        ShapeError: The graph does not support the batch size.
    """
    for detail in interpreter.get_input_details():
        interpreter.resize_tensor_input(detail["index"], [batch_size, *detail["shape"][1:]])
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise _wrong_batch_size(batch_size, str(error)) from error
    for detail in interpreter.get_output_details():
        size = [*detail["shape"], batch_size][0]
        if size != batch_size:
            problem = f"output {detail['name']!r} always has {size} rows"
            raise _wrong_batch_size(batch_size, problem)


def _wrong_batch_size(batch_size: int, problem: str) -> ShapeError:
    msg = (
        f"the model does not support batch size {batch_size}: {problem}; convert it with an open "
        "batch dimension, or run the images one by one"
    )
    return ShapeError(msg)
