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
from typing import Any, NamedTuple

import numpy as np

from ...errors import BackendUnavailable
from .. import compiled
from ..errors import FuriosaRuntimeError
from ..source import with_batch_size
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, ComputePrecision, Pool, Session, Setup

__all__ = ["OpenVinoSession", "openvino_problem"]

_INSTALL = "pip install 'furiosa-model-zoo[openvino]'"

_OLDEST = "2025.4"  # older ones do not import what they exported from mapped memory
_DEVICE = "CPU"
_BLOB = "model.blob"
_HINT = "a runner on OpenVINO takes ONNX; ENF needs an NPU"
_CAPABILITIES: dict[ComputePrecision, str] = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


class OpenVinoSession(Session):
    """A model compiled by OpenVINO for the CPU; arguments and errors are those of `Session`.

    Raises:
        BackendUnavailable: OpenVINO is not installed, or the CPU does not have that precision.
    """

    name, title = "openvino", "OpenVINO"

    def __init__(self, program: bytes | str, setup: Setup) -> None:
        if problem := openvino_problem(setup.precision):
            raise BackendUnavailable(problem)
        if setup.batch_size is not None:
            program = with_batch_size(program, setup.batch_size)
        with self._loading(program, _HINT):
            self._loaded: _Loaded = compiled.load(program, _Maker(setup))
            graph = self._loaded.graph
            self.model = Model(
                [_describe(port) for port in graph.inputs],
                [_describe(port) for port in graph.outputs],
            )
            make = graph.create_infer_request
            self._requests = Pool(make(), make, setup.parallel)

    def _run(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        # Outputs are copied, so that the next inference does not write over them.
        with self._requests.one() as request:
            shared = [np.ascontiguousarray(tensor) for tensor in tensors]
            outputs = request.infer(shared, share_inputs=True, share_outputs=False)
            if output_names is None:
                return [outputs[i] for i in range(self.model.output_num)]
            known = [desc.name for desc in self.model.outputs()]
            return [outputs[known.index(name)] for name in output_names]


class _Loaded(NamedTuple):
    """A compiled graph, and the memory that its weights are in where they are mapped.

    OpenVINO does not keep that alive, and reads some of it in the first inference only.
    """

    graph: Any
    memory: Any = None


class _Maker:
    """Compiles models, and keeps what was compiled: see `compiled.Maker`."""

    library = "openvino"

    def __init__(self, setup: Setup) -> None:
        self._core, self._setup = _core(), setup
        self.options: str = setup.precision

    def load(self, model: bytes | str) -> _Loaded:
        """A compiled model."""
        graph = self._core.read_model(model)
        return _Loaded(self._core.compile_model(graph, _DEVICE, self._properties()))

    def make(self, model: bytes | str, folder: Path) -> _Loaded:
        """A compiled model, which is also left in the folder."""
        loaded = self.load(model)
        (folder / _BLOB).write_bytes(loaded.graph.export_model().getbuffer())
        return loaded

    def open(self, folder: Path) -> _Loaded:
        """A compiled model of what was left there, memory-mapped."""
        import openvino

        # Copy on write, of which there is none: OpenVINO shares no memory that is read-only.
        blob = openvino.Tensor(np.memmap(folder / _BLOB, np.uint8, "c"), shared_memory=True)
        return _Loaded(self._core.import_model(blob, _DEVICE, self._properties()), blob)

    def _properties(self) -> dict[str, Any]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._setup.precision,
            "INFERENCE_NUM_THREADS": self._setup.threads * self._setup.parallel,
            "NUM_STREAMS": self._setup.parallel,
            # Bound to their CPUs, threads of two runners would share some and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }


def openvino_problem(precision: ComputePrecision = "f32") -> str | None:
    """What keeps OpenVINO from computing in a precision, or None where it can; imports it."""
    try:
        core = _core()
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        state = "is not installed" if missing else f"does not import ({error})"
        return f"OpenVINO {state}: {_INSTALL}"
    from packaging.version import Version

    from ..machine import version_of  # which, too, takes a while to import

    if Version(found := version_of("openvino") or "0") < Version(_OLDEST):
        return f"OpenVINO {found} is too old, {_OLDEST} is needed: {_INSTALL}"
    # It would do in float32, and not say so, what the CPU cannot do.
    capable = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if _CAPABILITIES[precision] in capable:
        return None
    has = ", ".join(name for name, word in _CAPABILITIES.items() if word in capable)
    return f"this CPU does not compute in {precision}; it has {has}"


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _describe(port: Any) -> TensorDesc:
    names = sorted(port.names)
    name = names[0] if names else None
    try:
        dtype = DataType(port.element_type.to_dtype())
    except (RuntimeError, TypeError, ValueError):
        kind = port.element_type.to_string()
        msg = f"{name!r} is of {kind}, which a runner neither takes nor gives"
        raise FuriosaRuntimeError(msg) from None
    sizes = [int(size.get_length()) if size.is_static else None for size in port.partial_shape]
    return TensorDesc.of(name, sizes, dtype)
