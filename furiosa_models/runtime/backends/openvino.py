"""OpenVINO, an optional backend of the CPU: faster than ONNX Runtime for some networks.

It computes float32 graphs in float32. Left to itself it would do so in bfloat16 on CPUs that can,
which is up to twice as fast and changes results in the third digit: `device="openvino:bf16"`.

A request serves one inference at a time. A runner has one, with all threads, for which callers
wait; a queue has one, and a stream of its own with its share of the threads, for each worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..._lazy import install_hint
from ...errors import BackendUnavailable
from .. import compiled
from ..errors import FuriosaRuntimeError
from ..machine import Fact, cpu_fingerprint, installed_version, library_version
from ..source import with_batch_size
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, Backend, Pool, Session, Setup

__all__ = ["ComputePrecision", "OpenVinoBackend"]

ComputePrecision: TypeAlias = Literal["f32", "bf16", "f16"]
"""What a float32 graph is computed in."""

_PACKAGE = "openvino"
_OLDEST = "2025.4"  # older ones do not import what they exported from mapped memory
_DEVICE = "CPU"
_BLOB = "model.blob"
_CAPABILITIES: dict[ComputePrecision, str] = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
_DEVICES: dict[str, ComputePrecision] = {
    "openvino": "f32",
    "openvino:f32": "f32",
    "openvino:bf16": "bf16",
    "openvino:f16": "f16",
}


class OpenVinoBackend(Backend):
    """OpenVINO on the CPU."""

    name, title = "openvino", "OpenVINO"
    place = "the CPU, by OpenVINO"
    devices = "'openvino', 'openvino:bf16'"
    hint = "a runner on OpenVINO takes ONNX; ENF needs an NPU"
    keeps_compiled = True

    def matches(self, device: str) -> bool:
        """Whether the device is `openvino`, with or without a precision."""
        return device in _DEVICES

    def problem(self, device: str | None = None) -> str | None:
        """Return what keeps OpenVINO from computing in the device's precision; imports it."""
        try:
            core = _core()
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError)
            state = "is not installed" if missing else f"does not import ({error})"
            return f"OpenVINO {state}: {install_hint(_PACKAGE)}"
        from packaging.version import Version  # takes a while to import

        if Version(found := installed_version(_PACKAGE) or "0") < Version(_OLDEST):
            hint = install_hint(_PACKAGE)
            return f"OpenVINO {found} is too old, {_OLDEST} is needed: {hint}"
        # Where the CPU does not have the precision, OpenVINO would use float32 and not say so.
        precision = _DEVICES[device or self.name]
        capable = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        if _CAPABILITIES[precision] in capable:
            return None
        has = ", ".join(name for name, word in _CAPABILITIES.items() if word in capable)
        return f"this CPU does not compute in {precision}; it has {has}"

    def fingerprint(self) -> str:
        """Return the version and the CPU."""
        return f"{library_version(_PACKAGE, _PACKAGE)} {cpu_fingerprint()}"

    def facts(self) -> list[Fact]:
        """Return which version is installed."""
        found = installed_version(_PACKAGE)
        advice = "" if found else f"device='openvino': {install_hint(_PACKAGE)}"
        return [Fact(self.title, found or "not installed", None, advice)]

    def load(self, program: Any, setup: Setup) -> Session:
        """Return a session of a model.

        Raises:
            BackendUnavailable: OpenVINO is not installed, or the CPU does not have that precision.
            ShapeError: The model cannot have that batch size.
        """
        if problem := self.problem(setup.device):
            raise BackendUnavailable(problem)
        if setup.batch_size is not None:
            program = with_batch_size(program, setup.batch_size)
        loaded = compiled.load(program, _Loader(self, setup))
        return _OpenVinoSession(self, loaded, setup.parallel)


class _OpenVinoSession(Session):
    """A model compiled by OpenVINO for the CPU."""

    def __init__(self, backend: OpenVinoBackend, loaded: _CompiledGraph, parallel: int) -> None:
        self._loaded = loaded
        graph = loaded.graph
        model = Model(
            [_describe(node) for node in graph.inputs],
            [_describe(node) for node in graph.outputs],
        )
        super().__init__(backend, model)
        create = graph.create_infer_request
        self._requests = Pool(create(), create, parallel)

    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all of them."""
        # Outputs are copied, so that the next inference does not write over them.
        with self._requests.borrow() as request:
            shared = [np.ascontiguousarray(tensor) for tensor in tensors]
            outputs = request.infer(shared, share_inputs=True, share_outputs=False)
            if output_names is None:
                return [outputs[i] for i in range(self.model.output_num)]
            known = [desc.name for desc in self.model.outputs()]
            return [outputs[known.index(name)] for name in output_names]


class _CompiledGraph(NamedTuple):
    """A compiled graph, and the memory that its weights are in where they are mapped.

    OpenVINO does not keep that alive, and reads some of it in the first inference only.
    """

    graph: Any
    memory: Any = None


class _Loader:
    """Compiles models, and keeps what was compiled: see `compiled.Loader`."""

    def __init__(self, backend: OpenVinoBackend, setup: Setup) -> None:
        self.backend = backend
        self._core, self._setup = _core(), setup
        self.options: str = _DEVICES[setup.device]

    def load(self, model: bytes | str) -> _CompiledGraph:
        """Return a compiled model."""
        graph = self._core.read_model(model)
        return _CompiledGraph(self._core.compile_model(graph, _DEVICE, self._properties()))

    def compile(self, model: bytes | str, folder: Path) -> _CompiledGraph:
        """Return a compiled model; leave it in the folder, too."""
        loaded = self.load(model)
        (folder / _BLOB).write_bytes(loaded.graph.export_model().getbuffer())
        return loaded

    def open(self, folder: Path) -> _CompiledGraph:
        """Return the compiled model that `compile` left in the folder, memory-mapped."""
        import openvino

        # Copy on write, of which there is none: OpenVINO shares no memory that is read-only.
        blob = openvino.Tensor(np.memmap(folder / _BLOB, np.uint8, "c"), shared_memory=True)
        return _CompiledGraph(self._core.import_model(blob, _DEVICE, self._properties()), blob)

    def _properties(self) -> dict[str, Any]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.options,
            "INFERENCE_NUM_THREADS": self._setup.threads * self._setup.parallel,
            "NUM_STREAMS": self._setup.parallel,
            # Bound to their CPUs, threads of two runners would share some and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _describe(node: Any) -> TensorDesc:
    names = sorted(node.names)
    name = names[0] if names else None
    try:
        dtype = DataType(node.element_type.to_dtype())
    except (RuntimeError, TypeError, ValueError):
        kind = node.element_type.to_string()
        msg = f"{name!r} is of {kind}, which a runner neither takes nor gives"
        raise FuriosaRuntimeError(msg) from None
    sizes = [int(size.get_length()) if size.is_static else None for size in node.partial_shape]
    return TensorDesc.of(name, sizes, dtype)
