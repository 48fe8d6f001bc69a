"""ONNX Runtime on GPUs: CUDA, TensorRT and CoreML.

ONNX Runtime lists a provider that was compiled in even if its libraries cannot be loaded, and then
runs on the CPU without an error. So the provider is tried on a small graph before it is used, and a
session whose first provider is another one is an error. Operations that a provider does not have
run on the CPU, as always in ONNX Runtime.

Float32 graphs are computed in float32: TF32, which CUDA would use, changes results in the third
digit. TensorRT compiles a graph for minutes; its engines are cached.
"""

from __future__ import annotations

import ctypes
import io
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from typing import Any, ClassVar

from ... import settings
from ...errors import BackendUnavailable
from ..machine import (
    CUDA_LIBRARY,
    Fact,
    cpu_fingerprint,
    installed_version,
    provider_library,
)
from ..source import with_batch_size
from .base import Arrays, Backend, Session, Setup
from .onnxruntime import (
    CPU_PROVIDER,
    GPU_PACKAGE,
    PACKAGE,
    OnnxRuntimeSession,
    create_session,
    session_options,
)

__all__ = ["CoreMLBackend", "CudaBackend", "ProviderBackend", "TensorRTBackend"]

logger = logging.getLogger(__name__)

_GPU_LIBRARIES = "onnxruntime-gpu[cuda,cudnn]"
_SWAP = f"pip uninstall -y {PACKAGE} {GPU_PACKAGE}, then pip install '{_GPU_LIBRARIES}'"
_SHARED_LIBRARY = "libonnxruntime_providers_shared.so"


class ProviderBackend(Backend):
    """A provider of ONNX Runtime that is not the CPU.

    Attributes:
        provider: Name of the provider.
        library: File of its code, which says why it cannot be loaded.
        pattern: Device strings: group `index` is the number of the device, `precision` may be
            `fp16`.
    """

    provider: ClassVar[str]
    library: ClassVar[str] = ""
    pattern: ClassVar[re.Pattern[str]]

    hint = "it takes ONNX"

    def matches(self, device: str) -> bool:
        """Return whether the device string is for this provider."""
        return self.pattern.fullmatch(device) is not None

    def problem(self, device: str | None = None) -> str | None:
        """Return why the provider cannot be used, and the pip commands; runs a small graph."""
        return _problem(self, device or self.name)

    @property
    def is_expected(self) -> bool:
        """Whether the installed ONNX Runtime has the code of the provider; looks for a file."""
        return provider_library(self.library) is not None

    def missing(self) -> str | None:
        """Return what to install, if ONNX Runtime does not have the provider."""
        both = [name for name in (PACKAGE, GPU_PACKAGE) if installed_version(name)]
        if len(both) == 2:
            return f"{PACKAGE} and {GPU_PACKAGE} are both installed, and mix their files: {_SWAP}"
        if not both:
            return f"ONNX Runtime is not installed: pip install '{_GPU_LIBRARIES}'"
        if self.provider in _available():
            return None
        return f"{both[0]} {installed_version(both[0])} has no {self.provider}: {self.advice()}"

    def advice(self) -> str:
        """Return how to install the provider."""
        return _SWAP

    def options(self, device: str) -> Mapping[str, Any]:
        """Return the options of the provider for a device string."""
        del device
        return {}

    def chain(self, device: str) -> list[Any]:
        """Return the providers of a session: this one, and those for what it does not have."""
        return [(self.provider, dict(self.options(device))), CPU_PROVIDER]

    def fingerprint(self) -> str:
        """Return the version of ONNX Runtime."""
        found = installed_version(GPU_PACKAGE) or installed_version(PACKAGE)
        return f"{found} {self.provider} {cpu_fingerprint()}"

    def facts(self) -> list[Fact]:
        """Return whether the provider works; it is tried only if its code is installed."""
        problem = self.problem() if self.is_expected else self.missing()
        finding = "ready" if problem is None else "not available"
        return [Fact(self.title, finding, True if problem is None else None, problem or "")]

    def load(self, program: Any, setup: Setup) -> Session:
        """Load an ONNX model.

        Raises:
            BackendUnavailable: The provider is not available.
            ShapeError: The model does not support that batch size.
        """
        if setup.batch_size is not None:
            program = with_batch_size(program, setup.batch_size)
        session = self._session(program, setup.threads, setup.device)
        return _BoundSession(self, session, self.binds)

    binds: ClassVar[bool] = False
    """Whether inputs and outputs are bound to the memory of the device."""

    def _session(self, program: Any, threads: int, device: str) -> Any:
        """Return a session on the provider.

        Raises:
            BackendUnavailable: ONNX Runtime would run it on another one.
        """
        _preload()
        if reason := _loading_error(self.library):
            raise self._unusable(reason)
        session = create_session(program, session_options(threads), self.chain(device))
        first = session.get_providers()[0]
        if first != self.provider:
            reason = f"ONNX Runtime chose {first}"
            raise self._unusable(reason)
        return session

    def _unusable(self, reason: str) -> BackendUnavailable:
        return BackendUnavailable(f"{self.provider} cannot be used: {reason}. {self.advice()}")


class _NvidiaBackend(ProviderBackend):
    """A provider for GPUs of NVIDIA."""

    def index(self, device: str) -> str:
        """Return the number of the GPU in a device string."""
        found = self.pattern.fullmatch(device)
        return str(int((found and found["index"]) or 0))

    def cuda_options(self, device: str) -> dict[str, Any]:
        """Return the options of CUDA: the number of the GPU, and full float32."""
        return {"device_id": self.index(device), "use_tf32": "0"}

    def device_name(self, device: str) -> str:
        """Return the name of the GPU."""
        return _gpu_name(self.index(device))


class CudaBackend(_NvidiaBackend):
    """ONNX Runtime on a GPU of NVIDIA."""

    name, title = "cuda", "ONNX Runtime on CUDA"
    place = "a GPU of NVIDIA, by ONNX Runtime"
    devices = "'cuda', 'cuda:1'"
    exact = ("cuda",)
    engine = "onnx.CUDAExecutionProvider"
    provider = "CUDAExecutionProvider"
    library = CUDA_LIBRARY
    pattern = re.compile(r"cuda(:(?P<index>\d+))?")
    binds = True

    def options(self, device: str) -> Mapping[str, Any]:
        """Return the number of the GPU, and full float32."""
        return self.cuda_options(device)


class TensorRTBackend(_NvidiaBackend):
    """TensorRT in ONNX Runtime."""

    name, title = "tensorrt", "TensorRT"
    place = "a GPU of NVIDIA, by TensorRT"
    devices = "'tensorrt', 'tensorrt:fp16'"
    engine = "onnx.TensorrtExecutionProvider"
    provider = "TensorrtExecutionProvider"
    library = "libonnxruntime_providers_tensorrt.so"
    pattern = re.compile(r"tensorrt(:(?P<index>\d+))?(:(?P<precision>fp16))?")

    def options(self, device: str) -> Mapping[str, Any]:
        """Return the number of the GPU, the precision, and where engines are cached."""
        found = self.pattern.fullmatch(device)
        folder = settings.cache_home() / "tensorrt"
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "device_id": self.index(device),
            "trt_fp16_enable": str(found is not None and found["precision"] == "fp16"),
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
        }

    def chain(self, device: str) -> list[Any]:
        """Return TensorRT, and CUDA for what it does not have."""
        own, cpu = super().chain(device)
        return [own, (CudaBackend.provider, self.cuda_options(device)), cpu]

    def advice(self) -> str:
        """Return how to install TensorRT."""
        return f"{_SWAP}, and pip install tensorrt"


class CoreMLBackend(ProviderBackend):
    """CoreML in ONNX Runtime, on machines of Apple."""

    name, title = "coreml", "CoreML"
    place = "CoreML, by ONNX Runtime"
    devices = "'coreml'"
    engine = "onnx.CoreMLExecutionProvider"
    provider = "CoreMLExecutionProvider"
    pattern = re.compile(r"coreml")

    def options(self, device: str) -> Mapping[str, Any]:
        """Return the options that let CoreML use all processors."""
        del device
        return {"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}

    def advice(self) -> str:
        """Return where CoreML is available."""
        return f"it is in {PACKAGE} for macOS"


class _BoundSession(OnnxRuntimeSession):
    """A session whose inputs and outputs may be bound to the memory of the device."""

    def __init__(self, backend: ProviderBackend, session: Any, binds: bool) -> None:
        super().__init__(backend, session)
        self._binds = binds

    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        """Return the named outputs, or all."""
        if not self._binds:
            return super().execute(tensors, output_names)
        names = [desc.name for desc in self.model.outputs()]
        requested = list(output_names) if output_names is not None else names
        binding = self._session.io_binding()
        for desc, tensor in zip(self.model.inputs(), tensors, strict=True):
            binding.bind_cpu_input(desc.name, tensor)
        for name in requested:
            binding.bind_output(name)  # on the CPU: one copy from the device
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())


@cache
def _problem(backend: ProviderBackend, device: str) -> str | None:
    """Return why a provider cannot be used on a device; found out once in a process."""
    if missing := backend.missing():
        return missing
    try:
        backend._session(_small_graph(), 1, device)
    except BackendUnavailable as error:
        return str(error)
    except Exception as error:  # ONNX Runtime raises errors of many types
        return str(backend._unusable(str(error).strip().splitlines()[0]))
    return None


def _small_graph() -> bytes:
    """Return a graph with one operation that every provider has."""
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 4, 4]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    opset = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return data


def _available() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


@cache
def _preload() -> None:
    """Load the libraries of CUDA and cuDNN that pip installed, if there are any."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls") and CudaBackend.provider in _available():
        printed = io.StringIO()
        with redirect_stdout(printed):  # it prints which libraries it does not find
            onnxruntime.preload_dlls()
        logger.info("%s", printed.getvalue().strip())


def _loading_error(library: str) -> str | None:
    """Return why the library of a provider cannot be loaded; None if it can, or is not there."""
    file = provider_library(library)
    if file is None:
        return None
    try:
        ctypes.CDLL(str(file.with_name(_SHARED_LIBRARY)), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(file))
    except OSError as error:
        return str(error)
    return None


@cache
def _gpu_name(index: str) -> str:
    """Return the name of a GPU of NVIDIA, or its number if the driver's tool does not tell."""
    import subprocess

    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", f"--id={index}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return f"GPU {index}"
    return done.stdout.strip() or f"GPU {index}"
