"""ONNX Runtime, the default backend for ONNX on the CPU.

The number of threads follows the process's CPU affinity. Between two operators threads spin for 20
us, and between two runs not at all. ONNX Runtime's default is to spin for milliseconds, which is no
faster on an idle machine, and up to twice as slow on a busy one. Without any spinning, networks of
many small operators are up to a third slower.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...ops import native
from .. import compiled
from ..errors import FuriosaRuntimeError
from ..machine import Fact, cpu_fingerprint, installed_version, library_version
from ..profiling import profile_session
from ..source import with_batch_size
from ..tensor import DataType, Model, TensorDesc
from .base import Arrays, Backend, Session, Setup

__all__ = [
    "CPU_PROVIDER",
    "GPU_PACKAGE",
    "PACKAGE",
    "OnnxRuntimeBackend",
    "OnnxRuntimeSession",
    "create_session",
    "inference_session",
    "session_options",
]

logger = logging.getLogger(__name__)

PACKAGE, GPU_PACKAGE = "onnxruntime", "onnxruntime-gpu"
CPU_PROVIDER = "CPUExecutionProvider"
_ERRORS_ONLY = 3
_SPIN_US = "20"
_MODEL, _WEIGHTS = "model.onnx", "weights.bin"
_LOOKS_UP = "lookups"  # empty file beside a graph that needs the native module
_MIN_EXTERNAL_SIZE = str(1 << 15)  # bytes; mapping smaller tensors is slower than reading them
_DTYPES = {
    "tensor(bfloat16)": "BFLOAT16",
    "tensor(bool)": "BOOL",
    "tensor(double)": "FLOAT64",
    "tensor(float)": "FLOAT32",
    "tensor(float16)": "FLOAT16",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(int8)": "INT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(uint8)": "UINT8",
}


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime on the CPU."""

    name, title = "onnxruntime", "ONNX Runtime"
    place = "the CPU, by ONNX Runtime"
    devices = "'cpu'"
    threaded = True
    exact = ("cpu",)
    engine = "onnx.CPUExecutionProvider"
    hint = "a runner on the CPU takes ONNX or TFLite; ENF needs an NPU"
    keeps_compiled = True
    shareable = True

    def matches(self, device: str) -> bool:
        """Return whether the device is `cpu`."""
        return device == "cpu"

    def fingerprint(self) -> str:
        """Return the version of ONNX Runtime and the CPU."""
        return f"{library_version(PACKAGE, PACKAGE)} {cpu_fingerprint()}"

    def facts(self) -> list[Fact]:
        """Return the installed version; the package for GPUs runs on the CPU, too."""
        found = installed_version(PACKAGE) or installed_version(GPU_PACKAGE)
        advice = "" if found else f"pip install {PACKAGE}"
        return [Fact(self.title, found or "not installed", found is not None, advice)]

    def load(self, program: Any, setup: Setup) -> Session:
        """Load an ONNX model.

        Raises:
            ShapeError: The model does not support that batch size.
        """
        import onnxruntime  # noqa: F401  # speeds up `library_version` in the fingerprint

        if setup.batch_size is not None:
            program = with_batch_size(program, setup.batch_size)
        return OnnxRuntimeSession(self, compiled.load(program, _Loader(self, setup.threads)))


class OnnxRuntimeSession(Session):
    """An ONNX Runtime session."""

    def __init__(self, backend: Backend, session: Any) -> None:
        model = Model(
            [_describe(node) for node in session.get_inputs()],
            [_describe(node) for node in session.get_outputs()],
        )
        super().__init__(backend, model)
        self._session = session

    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all."""
        names = [desc.name for desc in self.model.inputs()]
        return list(self._session.run(output_names, dict(zip(names, tensors, strict=True))))


class _Loader:
    """Loads models and writes optimized graphs; see `compiled.Loader`."""

    options = ""

    def __init__(self, backend: OnnxRuntimeBackend, threads: int) -> None:
        self.backend = backend
        self._threads = threads

    def load(self, model: bytes | str) -> Any:
        """Return a session of a model."""
        return _session(model, session_options(self._threads))

    def compile(self, model: bytes | str, folder: Path) -> Any:
        """Return a session of a model; write its optimized graph and weights into the folder."""
        options = session_options(self._threads)
        prefix = "session.optimized_model_external_initializers"
        settings = {
            f"{prefix}_file_name": _WEIGHTS,
            f"{prefix}_min_size_in_bytes": _MIN_EXTERNAL_SIZE,
            # Otherwise matrices and int8 kernels are packed again at every load.
            "session.save_external_prepacked_constant_initializers": "1",
        }
        options.optimized_model_filepath = str(folder / _MODEL)
        for name, value in settings.items():
            options.add_session_config_entry(name, value)
        session = _session(model, options)
        if not _can_look_up():
            return session
        from .. import lookups

        if not lookups.replace(folder / _MODEL):
            return session
        (folder / _LOOKS_UP).touch()
        return self.open(folder)

    def open(self, folder: Path) -> Any:
        """Return a session of the files that `compile` wrote."""
        import onnxruntime

        options = session_options(self._threads)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if (folder / _LOOKS_UP).exists():
            options.register_custom_ops_library(native.load().__file__)
        return _session(str(folder / _MODEL), options)


def inference_session(model: bytes | str, options: Any) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU.

    Args:
        model: Bytes of ONNX, or the path of a file.
        options: `onnxruntime.SessionOptions`, see `session_options`.
    """
    import onnxruntime

    return onnxruntime.InferenceSession(model, options, providers=[CPU_PROVIDER])


def session_options(threads: int) -> Any:
    """Return `onnxruntime.SessionOptions` tuned for a number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    for name, value in _spin_options().items():
        options.add_session_config_entry(name, value)
    return options


def create_session(model: bytes | str, options: Any, providers: Sequence[Any]) -> Any:
    """Return an `onnxruntime.InferenceSession`, which an open profiler records.

    Args:
        model: Bytes of ONNX, or the path of a file.
        options: `onnxruntime.SessionOptions`, see `session_options`.
        providers: Names of providers, or pairs of names and options, in order of preference.
    """
    import onnxruntime

    with profile_session(options) as sessions:
        # Without a fallback, a provider that fails is an error.
        session = onnxruntime.InferenceSession(
            model, options, providers=list(providers), enable_fallback=0
        )
        sessions.append(session)
    return session


def _session(model: bytes | str, options: Any) -> Any:
    return create_session(model, options, [CPU_PROVIDER])


@cache
def _spin_options() -> dict[str, str]:
    import onnxruntime

    major, minor = onnxruntime.__version__.split(".")[:2]
    if (int(major), int(minor)) < (1, 26):  # cannot spin for a limited time
        return {"session.intra_op.allow_spinning": "0"}
    return {
        "session.force_spinning_stop": "1",
        "session.intra_op.spin_duration_us": _SPIN_US,
    }


@cache
def _can_look_up() -> bool:
    """Return whether ONNX Runtime can load the native module's operation; see `lookups`."""
    import onnxruntime

    try:
        onnxruntime.SessionOptions().register_custom_ops_library(native.load().__file__)
    except Exception as error:  # ONNX Runtime has its own exceptions
        logger.info("int8 programs run without tables: %s", error)
        return False
    return True


def _describe(node: Any) -> TensorDesc:
    if node.type not in _DTYPES:
        msg = f"{node.name!r} has the type {node.type}, which runners do not support"
        raise FuriosaRuntimeError(msg)
    sizes = [size if isinstance(size, int) else None for size in node.shape]
    return TensorDesc.of(node.name, sizes, DataType[_DTYPES[node.type]])
