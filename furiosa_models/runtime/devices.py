"""Choose the backend and the device for a model."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import settings
from .._lazy import lazy
from ..artifacts.store import Built
from ..errors import BackendUnavailable
from .backends import Backend, backends, backends_for, find_backend
from .compiler import find_compiler
from .errors import FuriosaRuntimeError
from .machine import CUDA_LIBRARY, provider_library
from .source import ModelSource, RunnerOptions, Use, is_tflite

if TYPE_CHECKING:
    from .backends.furiosa import NpuSpec, npu_problem, parse_devices
    from .tuned import Setting

__all__ = [
    "ENVIRONMENT",
    "Choice",
    "NpuSpec",
    "choose",
    "defaults_to_npu",
    "makes_npu_programs",
    "npu_problem",
    "parse_devices",
    "requested_by",
    "resolve",
]

logger = logging.getLogger(__name__)

ENVIRONMENT = ("FURIOSA_MODELS_DEVICE", "FURIOSA_DEVICES", "NPU_DEVNAME")
"""Environment variables that name a device, in order of precedence."""

_AUTO = "auto"
_NPU, _GPU, _CPU = ("furiosa", "npu"), ("cuda", "cuda"), ("onnxruntime", "cpu")
"""Backends and devices to try if none is requested."""

__getattr__, __dir__ = lazy(
    __name__, {"backends.furiosa": ["NpuSpec", "npu_problem", "parse_devices"]}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen device.

    Attributes:
        backend: Name of the backend: `furiosa`, `onnxruntime`, `openvino`, `litert` for TensorFlow
            Lite models on the CPU, or that of a registered backend.
        device: The device string.
        reason: Why it was chosen, for display.
        is_open: Whether nobody requested a device, so that the fastest measured one may be used.
    """

    backend: str
    device: str
    reason: str
    is_open: bool = False


def choose(device: str | None) -> Choice:
    """Return the device for a runner.

    Args:
        device: `"cpu"`: ONNX Runtime, and LiteRT for TensorFlow Lite models; `"openvino"`: OpenVINO
            on the CPU in float32, or `"openvino:bf16"` or `"openvino:f16"` in that precision, and
            `"openvino:GPU"` on a GPU of Intel; `"cuda"` or `"cuda:1"`: ONNX Runtime on a GPU of
            NVIDIA; `"tensorrt"` or `"tensorrt:fp16"`: TensorRT; `"coreml"`: CoreML of Apple;
            `"torch"`, `"torch:cpu"`, `"torch:cuda:0"`: PyTorch, for TorchScript;
            `"npu"`: any NPU; an NPU device string of the vendor runtime (`"warboy(2)*1"`,
            `"npu:0:0-1"`, comma-separated); a device string of a registered backend; or `"auto"` or
            None. None means the value of `FURIOSA_MODELS_DEVICE`, `FURIOSA_DEVICES` or
            `NPU_DEVNAME`, in this order. Without these, and for `"auto"`, it is an NPU if there is
            one, or else a GPU of NVIDIA if onnxruntime-gpu can use one, or else the CPU; without
            an NPU, what `tune` measured for a program takes precedence.

    Raises:
        BackendUnavailable: The requested device is not available.
        TypeError: `device` is not a string.
        ValueError: `device` is not a valid device string.
    """
    choice = _choice(device)
    logger.info("running on %s: %s", choice.backend, choice.reason)
    return choice


def resolve(
    choice: Choice, model: ModelSource, options: RunnerOptions, *, may_tune: bool = False
) -> tuple[Choice, Backend, Any, RunnerOptions]:
    """Return the backend that runs a model, the model in the form that it takes, and its options.

    Args:
        choice: The device; its backend is tried first.
        model: The model.
        options: Options of the runner or the queue.
        may_tune: Whether to use the fastest setting that `tune` measured, where nobody requested
            a device or a number of threads.

    Raises:
        FuriosaRuntimeError: No backend of the device supports the model, or an option is invalid.
        TypeError: The model has an unknown type.
    """
    first = _backend(choice.backend)
    program = first.program_of(model, choice.device, options)
    is_open = may_tune and choice.is_open and options.are_open
    if is_open and (setting := _tuned(program, options.use)) is not None:
        reason = f"{choice.reason}; measured by `tune` to be the fastest: {setting}"
        logger.info("running on %s: %s", setting.backend, reason)
        backend = _backend(setting.backend)
        choice = Choice(setting.backend, setting.device, reason)
        options = replace(options, worker_num=setting.threads)
        return choice, backend, backend.adapt_program(program), options
    if first.takes(program):
        return choice, first, program, options
    is_lite = isinstance(program, (bytes, str, Built)) and is_tflite(program)
    for backend in backends_for(choice.device):
        if backend.takes(adapted := backend.adapt_program(program)):
            what = "TensorFlow Lite" if is_lite else f"for {backend.name}"
            reason = f"{choice.reason}; the model is {what}"
            logger.info("running on %s: %s", backend.name, reason)
            return replace(choice, backend=backend.name, reason=reason), backend, adapted, options
    if is_lite:
        msg = (
            f"{choice.backend} takes ONNX, but the model is TensorFlow Lite: device='cpu' runs it "
            "with LiteRT"
        )
    else:
        msg = f"{choice.backend} does not support this model: device='cpu' may run it"
    raise FuriosaRuntimeError(msg)


def requested_by() -> str | None:
    """Return the environment variable that requests a device, if any."""
    requested, name = _requested(None)
    return None if requested is None else name


def makes_npu_programs() -> bool:
    """Return whether this machine uses NPU programs: it has an NPU, or the compiler for one.

    False if the environment requests another device.
    """
    return _may_default_to_npu() and (find_compiler() is not None or _npu_answers())


def defaults_to_npu() -> bool:
    """Return whether models run on an NPU by default."""
    return _may_default_to_npu() and _npu_answers()


def _tuned(program: Any, use: Use) -> Setting | None:
    """Return the fastest setting that was measured for a program, if any."""
    if not settings.tuned_home().is_dir():
        return None
    from . import tuned  # only where something was measured

    return tuned.find(program, use)


def _choice(device: str | None) -> Choice:
    requested, source = _requested(device)
    if requested is None:
        return _preferred()
    backend = next(backends_for(requested), None)
    if backend is None:
        msg = f"{source}: {requested!r} is not a device: {_expected()}"
        raise ValueError(msg)
    try:
        problem = backend.problem(requested)
    except ValueError as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from None
    if problem is not None:
        msg = (
            f"{source} requests {requested!r}, which is not available: {problem}. device='cpu' "
            "works on every machine"
        )
        raise BackendUnavailable(msg)
    return Choice(backend.name, requested, f"{source} requests {requested!r}")


def _preferred() -> Choice:
    """Return the best available device: an NPU, or else a GPU, or else the CPU."""
    backend, device = _NPU
    problem = _backend(backend).problem(device)
    if problem is None:
        return Choice(backend, device, "an NPU is available")
    is_expected = _backend(backend).is_expected
    reason = f"no NPU: {problem}" if is_expected else "no NPU"
    backend, device = _GPU
    if provider_library(CUDA_LIBRARY) is None:
        return Choice(*_CPU, reason, is_open=True)
    problem = _backend(backend).problem(device)
    if problem is None:
        return Choice(backend, device, f"a GPU is available, and {reason}", is_open=True)
    return Choice(*_CPU, f"{reason}; no GPU: {problem}", is_open=True)


def _requested(device: object) -> tuple[str | None, str]:
    """Return the requested device, or None, and the source of the request."""
    if device is None:
        for name in ENVIRONMENT:
            if value := os.environ.get(name):
                return (None if value == _AUTO else value), name
        return None, "nobody"
    if not isinstance(device, str):
        msg = f"device must be a string or None, got {device!r}"
        raise TypeError(msg)
    return (None if device == _AUTO else device), "the argument device"


def _expected() -> str:
    """Return the valid device strings, for an error message."""
    found = [
        backend.devices or repr(backend.name)
        for backend in backends()
        if backend.devices or backend.matches(backend.name)
    ]
    return f"expected {', '.join(found)}, or {_AUTO!r}"


def _may_default_to_npu() -> bool:
    """Return whether the environment requests no device, or an NPU."""
    requested, _ = _requested(None)
    backend = None if requested is None else next(backends_for(requested), None)
    return backend is None or backend.name == _NPU[0]


def _npu_answers() -> bool:
    return _backend(_NPU[0]).problem() is None


def _backend(name: str) -> Backend:
    """Return a backend that should be in the table."""
    backend = find_backend(name)
    if backend is None:
        msg = f"the backend {name!r} no longer exists"
        raise BackendUnavailable(msg)
    return backend
