"""OpenVINO, an optional backend that is faster than ONNX Runtime for some networks.

It runs on the CPU, and with `device="openvino:GPU"` on a GPU or NPU of Intel.

Float32 graphs are computed in float32. OpenVINO's own default is bfloat16 on CPUs that support it,
which is up to twice as fast and changes results in the third digit: `device="openvino:bf16"`.

It has one kernel for an int8 convolution with its activation, if the graph does not round between
them, as ONNX Runtime needs it. So that rounding is removed: networks with swish are faster, and
closer to float32.

A request runs one inference at a time. A runner has one request with all threads, and callers wait
for it. A queue has one request and one stream, with its share of the threads, per worker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..._lazy import install_hint
from ...errors import BackendUnavailable, WeightsError
from ...networks.external_data import external_weight_files
from .. import compiled
from ..errors import FuriosaRuntimeError
from ..machine import Fact, cpu_fingerprint, installed_version, library_version
from ..source import with_batch_size
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, Backend, Pool, Session, Setup

__all__ = ["ComputePrecision", "OpenVinoBackend"]

ComputePrecision: TypeAlias = Literal["f32", "bf16", "f16"]
"""Precision in which float32 graphs are computed."""

_PACKAGE = "openvino"
_OLDEST = "2025.4"  # older versions cannot import an exported model from mapped memory
_CPU = "CPU"
_BLOB = "model.blob"
_REWRITES = "fused"  # what is done to a graph before it is compiled
_CAPABILITIES: dict[ComputePrecision, str] = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
_DEVICE = re.compile(r"openvino(:(?P<place>CPU|NPU|GPU(\.\d+)?))?(:(?P<precision>f32|bf16|f16))?")


class _Place(NamedTuple):
    """What a device string asks for.

    Attributes:
        device: Device of OpenVINO: `CPU`, `GPU`, `GPU.1` or `NPU`.
        precision: Precision of float32 graphs.
    """

    device: str
    precision: ComputePrecision

    @classmethod
    def of(cls, device: str) -> _Place:
        """Return what a device string asks for; an NPU computes in float16 only."""
        found = _DEVICE.fullmatch(device)
        place = (found and found["place"]) or _CPU
        default = "f16" if place == "NPU" else "f32"
        return cls(place, (found and found["precision"]) or default)  # type: ignore[arg-type]


class OpenVinoBackend(Backend):
    """OpenVINO on the CPU, or on a GPU or NPU of Intel."""

    name, title = "openvino", "OpenVINO"
    place = "the CPU, by OpenVINO"
    devices = "'openvino', 'openvino:bf16', 'openvino:GPU'"
    threaded = True
    exact = ("openvino",)
    hint = "a runner on OpenVINO takes ONNX; ENF needs an NPU"
    keeps_compiled = True

    def matches(self, device: str) -> bool:
        """Return whether the device is `openvino`, with or without a place and a precision."""
        return _DEVICE.fullmatch(device) is not None

    def problem(self, device: str | None = None) -> str | None:
        """Return why OpenVINO has no such device or precision, or None; imports it."""
        try:
            core = _core()
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError)
            state = "is not installed" if missing else f"cannot be imported ({error})"
            return f"OpenVINO {state}: {install_hint(_PACKAGE)}"
        from packaging.version import Version  # takes a while to import

        if Version(found := installed_version(_PACKAGE) or "0") < Version(_OLDEST):
            hint = install_hint(_PACKAGE)
            return f"OpenVINO {found} is too old, {_OLDEST} is needed: {hint}"
        place = _Place.of(device or self.name)
        if place.device != _CPU and not _has(core, place.device):
            known = ", ".join(core.available_devices) or "none"
            return f"OpenVINO has no {place.device} (a driver may be missing); it has {known}"
        # OpenVINO silently falls back to float32 if the device lacks the precision.
        capable = core.get_property(place.device, "OPTIMIZATION_CAPABILITIES")
        if _CAPABILITIES[place.precision] in capable:
            return None
        has = ", ".join(name for name, word in _CAPABILITIES.items() if word in capable)
        return f"this {place.device} does not compute in {place.precision}; it has {has}"

    def fingerprint(self) -> str:
        """Return the version of OpenVINO and the CPU."""
        return f"{library_version(_PACKAGE, _PACKAGE)} {cpu_fingerprint()}"

    def place_of(self, device: str) -> str:
        """Return the place of a device string, for display."""
        return f"the {_Place.of(device).device}, by OpenVINO"

    def device_name(self, device: str) -> str:
        """Return the name of the hardware."""
        return str(_core().get_property(_Place.of(device).device, "FULL_DEVICE_NAME"))

    def facts(self) -> list[Fact]:
        """Return the installed version."""
        found = installed_version(_PACKAGE)
        advice = "" if found else f"device='openvino': {install_hint(_PACKAGE)}"
        return [Fact(self.title, found or "not installed", None, advice)]

    def load(self, program: Any, setup: Setup) -> Session:
        """Load an ONNX model.

        Raises:
            BackendUnavailable: OpenVINO is not installed, or the CPU does not support the
                precision.
            ShapeError: The model does not support that batch size.
        """
        if problem := self.problem(setup.device):
            raise BackendUnavailable(problem)
        if setup.batch_size is not None:
            program = with_batch_size(program, setup.batch_size)
        loaded = compiled.load(program, _Loader(self, setup))
        return _OpenVinoSession(self, loaded, setup.parallel)


class _OpenVinoSession(Session):
    """A model compiled for the CPU by OpenVINO."""

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
        """Return the named outputs, or all."""
        # Outputs are copied, so that the next inference does not overwrite them.
        with self._requests.borrow() as request:
            shared = [np.ascontiguousarray(tensor) for tensor in tensors]
            outputs = request.infer(shared, share_inputs=True, share_outputs=False)
            if output_names is None:
                return [outputs[i] for i in range(self.model.output_num)]
            known = [desc.name for desc in self.model.outputs()]
            return [outputs[known.index(name)] for name in output_names]


class _CompiledGraph(NamedTuple):
    """A compiled graph, and the memory-mapped weights that it uses.

    OpenVINO does not keep this memory alive, although it reads some of it only in the first
    inference.
    """

    graph: Any
    memory: Any = None


class _Loader:
    """Compiles models and writes compiled graphs; see `compiled.Loader`."""

    def __init__(self, backend: OpenVinoBackend, setup: Setup) -> None:
        self.backend = backend
        self._core, self._setup = _core(), setup
        self._place = _Place.of(setup.device)
        self.options = f"{_REWRITES} {':'.join(self._place)}"

    def load(self, model: bytes | str) -> _CompiledGraph:
        """Return a compiled model."""
        graph = self._core.read_model(_fused(model))
        return _CompiledGraph(
            self._core.compile_model(graph, self._place.device, self._properties())
        )

    def compile(self, model: bytes | str, folder: Path) -> _CompiledGraph:
        """Compile a model; also write it into the folder."""
        loaded = self.load(model)
        (folder / _BLOB).write_bytes(loaded.graph.export_model().getbuffer())
        return loaded

    def open(self, folder: Path) -> _CompiledGraph:
        """Return the memory-mapped model that `compile` wrote into the folder."""
        import openvino

        # Mode "c" (copy on write), because OpenVINO does not accept read-only memory.
        blob = openvino.Tensor(np.memmap(folder / _BLOB, np.uint8, "c"), shared_memory=True)
        return _CompiledGraph(
            self._core.import_model(blob, self._place.device, self._properties()), blob
        )

    def _properties(self) -> dict[str, Any]:
        common = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._place.precision,
        }
        if self._place.device != _CPU:
            return common
        return {
            **common,
            "INFERENCE_NUM_THREADS": self._setup.threads * self._setup.parallel,
            "NUM_STREAMS": self._setup.parallel,
            # With pinning, the threads of two runners could share some CPUs and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }


def _fused(model: bytes | str) -> bytes | str:
    """Return a model that does not round between its int8 convolutions and their activations."""
    if isinstance(model, str) and external_weight_files(model):
        return model
    data = model if isinstance(model, bytes) else Path(model).read_bytes()
    if b"QuantizeLinear" not in data:
        return model
    from ...networks.qdq import without_inner_rounding  # imports onnx

    try:
        return without_inner_rounding(data)
    except WeightsError:  # OpenVINO reports what is wrong
        return model


def _has(core: Any, device: str) -> bool:
    """Return whether OpenVINO has a device; `GPU` is the first of several."""
    return any(name in (device, f"{device}.0") for name in core.available_devices)


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
        msg = f"{name!r} has the element type {kind}, which runners do not support"
        raise FuriosaRuntimeError(msg) from None
    sizes = [int(size.get_length()) if size.is_static else None for size in node.partial_shape]
    return TensorDesc.of(name, sizes, dtype)
