"""What is there to run models on: for people who wonder why it is not what they expect."""

from __future__ import annotations

import os
import sys
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

from .. import settings
from ..errors import BackendUnavailable
from . import compiled
from .compiler import COMPILER, find_compiler
from .devices import ENVIRONMENT, choose, device_files, npu_problem
from .machine import available_cpus, cpu_features, cpu_name, version, version_of

__all__ = ["Fact", "diagnose"]

_DRIVER_LIBRARY = "furiosa_hal"
_EXTRAS = (
    ("OpenVINO", "openvino", "openvino", "device='openvino'"),
    ("LiteRT", "ai-edge-litert", "tflite", "TensorFlow Lite models"),
)
_PLACES = {
    "furiosa": "the NPU",
    "onnxruntime": "the CPU, by ONNX Runtime",
    "openvino": "the CPU, by OpenVINO",
}
_TELLING = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something found out.

    Attributes:
        topic: What it is about, in a word or two.
        finding: What was found.
        is_fine: False where it keeps something from working, None where it is neither.
        advice: What to do about it, or an empty string.
    """

    topic: str
    finding: str
    is_fine: bool | None = None
    advice: str = ""


def diagnose() -> list[Fact]:
    """All there is to know; imports the vendor runtime, and fetches nothing."""
    return [
        Fact("package", f"furiosa-model-zoo {version()}, Python {sys.version.split()[0]}"),
        *_npu(),
        *_cpu(),
        _cache(),
        _compiled(),
        *_environment(),
        _verdict(),
    ]


def _npu() -> list[Fact]:
    found, problem = version_of("furiosa-runtime"), npu_problem()
    library, compiler = find_library(_DRIVER_LIBRARY), find_compiler()
    devices = ", ".join(str(path) for path in device_files())
    return [
        Fact("vendor runtime", f"furiosa-runtime {found}" if found else "not installed", None),
        Fact("NPU", "answers" if problem is None else "none", problem is None, problem or ""),
        Fact("driver library", library or f"no lib{_DRIVER_LIBRARY}", library is not None),
        Fact("compiler", str(compiler) if compiler else f"no {COMPILER} that answers", None),
        Fact("device files", devices or "no /dev/npu*", bool(devices)),
    ]


def _cpu() -> list[Fact]:
    telling = [name for name in _TELLING if name in cpu_features()]
    onnxruntime = version_of("onnxruntime")
    return [
        Fact("CPU", f"{cpu_name()} ({', '.join(telling) or 'features unknown'})"),
        Fact("threads", f"{available_cpus()} of {os.cpu_count()} CPUs may be used"),
        Fact(
            "ONNX Runtime",
            onnxruntime or "not installed",
            onnxruntime is not None,
            "" if onnxruntime else "pip install onnxruntime",
        ),
        *(_extra(*extra) for extra in _EXTRAS),
    ]


def _extra(topic: str, package: str, extra: str, purpose: str) -> Fact:
    found = version_of(package)
    advice = "" if found else f"{purpose}: pip install 'furiosa-model-zoo[{extra}]'"
    return Fact(topic, found or "not installed", None, advice)


def _cache() -> Fact:
    home = settings.cache_home()
    writable = os.access(_existing(home), os.W_OK)
    advice = "" if writable else "set FURIOSA_MODELS_CACHE_HOME to a folder that can be written"
    return Fact("cache", f"{home}{'' if writable else ', not writable'}", writable, advice)


def _compiled() -> Fact:
    if not compiled.is_enabled():
        return Fact("compiled programs", "switched off by FURIOSA_MODELS_COMPILED")
    entries = compiled.entries()
    size = sum(entry.size for entry in entries) / 2**20
    stale = sum(not entry.is_current for entry in entries)
    return Fact(
        "compiled programs",
        f"{len(entries)} with {size:.0f} MiB in {compiled.home()}"
        + (f", {stale} of another machine or version" if stale else ""),
    )


def _environment() -> list[Fact]:
    found = {name: os.environ.get(name) for name in ENVIRONMENT}
    return [Fact("environment", f"{name}={value}") for name, value in found.items() if value]


def _verdict() -> Fact:
    try:
        choice = choose(None)
    except (BackendUnavailable, ValueError) as error:
        return Fact("models run on", "nothing", is_fine=False, advice=str(error))
    return Fact("models run on", _PLACES[choice.backend], is_fine=True, advice=choice.reason)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
