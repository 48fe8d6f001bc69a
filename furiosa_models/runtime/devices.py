"""Which device runs a model, and why."""

from __future__ import annotations

import importlib
import logging
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from ..errors import BackendUnavailable
from .backends.base import ComputePrecision
from .backends.openvino import openvino_problem
from .compiler import find_compiler

__all__ = [
    "Choice",
    "NpuSpec",
    "choose",
    "defaults_to_npu",
    "is_shareable",
    "makes_npu_programs",
    "npu_problem",
    "parse_devices",
]

logger = logging.getLogger(__name__)

ENVIRONMENT = ("FURIOSA_MODELS_DEVICE", "FURIOSA_DEVICES", "NPU_DEVNAME")
_DEVICE_FILES = "npu*"
_ARCHITECTURES = ("warboy",)
_PROCESSING_ELEMENTS = 2

_ANY = re.compile(r"(?P<arch>[a-z][a-z0-9]*)(?:\((?P<pes>\d+)\))?\*(?P<count>\d+)")
_NAMED = re.compile(r"(?:npu:(?P<device>\d+):|npu(?P<old>\d+)pe)(?P<first>\d+)(?:-(?P<last>\d+))?")
_OPENVINO: dict[str, ComputePrecision] = {
    "openvino": "f32",
    "openvino:f32": "f32",
    "openvino:bf16": "bf16",
    "openvino:f16": "f16",
}
_EXPECTED = (
    "expected 'cpu', 'openvino', 'openvino:bf16', 'npu', 'auto', or NPUs as in 'warboy(2)*1', "
    "'warboy*1', 'npu:0:0', 'npu:0:0-1', joined by commas"
)


@dataclass(frozen=True, slots=True)
class NpuSpec:
    """One part of a device string.

    Attributes:
        num_pe: Processing elements that run a program together: 1 or 2.
        count: How many such groups.
        device: Number of the NPU, or None for any.
        first_pe: Number of the first processing element, or None for any.
    """

    num_pe: Literal[1, 2]
    count: int = 1
    device: int | None = None
    first_pe: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A device that was chosen.

    Attributes:
        backend: `furiosa` for the vendor runtime; on the CPU `onnxruntime`, `openvino`, or
            `litert` for a TensorFlow Lite model.
        device: The vendor's device string, or None for its default and for the CPU.
        reason: Why, in words.
        num_pe: Processing elements of the NPU that run a program together.
        precision: What a float32 graph is computed in, where the backend has a choice.
    """

    backend: str
    device: str | None
    reason: str
    num_pe: Literal[1, 2] = 2
    precision: ComputePrecision = "f32"

    @property
    def is_npu(self) -> bool:
        """Whether the vendor runtime runs it."""
        return self.backend == "furiosa"


def choose(device: str | None) -> Choice:
    """The device for a runner.

    Args:
        device: `"cpu"`: ONNX Runtime, and LiteRT for TensorFlow Lite models; `"openvino"`:
            OpenVINO on the CPU, which computes in float32 unless `"openvino:bf16"` or
            `"openvino:f16"` says otherwise; `"npu"`: any NPU; an NPU device string of the vendor
            runtime (`"warboy(2)*1"`, `"npu:0:0-1"`, comma-separated); or `"auto"` or None. None
            leaves the choice to `FURIOSA_MODELS_DEVICE`, then `FURIOSA_DEVICES`, then
            `NPU_DEVNAME`; that and `"auto"` to what is there: an NPU, else the CPU.

    Raises:
        BackendUnavailable: A device was ordered that is not there.
        TypeError: It is no string.
        ValueError: The string is no device string.
    """
    choice = _choice(device)
    logger.info("running on %s: %s", choice.backend, choice.reason)
    return choice


def is_shareable(device: str | None) -> bool:
    """Whether a runner on a device runs the inferences of many threads side by side.

    That is ONNX Runtime; the others take them in turn. Arguments and errors are those of `choose`.
    """
    return _choice(device).backend == "onnxruntime"


def parse_devices(text: str, source: str = "device") -> tuple[NpuSpec, ...]:
    """The parts of an NPU device string.

    Args:
        text: As the vendor runtime takes it: `warboy(2)*1`, `warboy*1`, `npu:0:1`, `npu:0:0-1`,
            the deprecated `npu0pe0` and `npu0pe0-1`, and several of them joined by commas.
        source: Who gave it, for the error message.

    Raises:
        ValueError: It is no device string.
    """
    return tuple(_parse(part.strip(), source) for part in text.split(","))


def makes_npu_programs() -> bool:
    """Whether programs of this machine are for an NPU: it has one, or the compiler for one.

    Not where the environment orders the CPU.
    """
    return not _cpu_is_ordered() and (find_compiler() is not None or npu_problem() is None)


def defaults_to_npu() -> bool:
    """Whether models run on an NPU where nobody says otherwise."""
    return not _cpu_is_ordered() and npu_problem() is None


@cache
def npu_problem() -> str | None:
    """What keeps the NPU from being used, or None where it can be."""
    try:
        importlib.import_module("furiosa.runtime.sync")
    except ModuleNotFoundError:
        return "the package furiosa-runtime is not installed (pip install furiosa-runtime)"
    # Where its driver library is missing, the vendor's extension raises any of these on import.
    except (ImportError, RuntimeError, OSError, SystemExit) as error:
        return (
            f"furiosa-runtime is installed but does not import ({error}); install FuriosaAI's "
            "driver and HAL packages"
        )
    if not device_files():
        return "furiosa-runtime imports but there is no device file /dev/npu*"
    return None


def device_files() -> list[Path]:
    """The NPU's device files."""
    return sorted(Path("/dev").glob(_DEVICE_FILES))


def _choice(device: str | None) -> Choice:
    order, source = _order(device)
    if order == "cpu":
        return Choice("onnxruntime", None, f"{source} orders the CPU")
    if order in _OPENVINO:
        return _openvino(order, source)
    specs = () if order in (None, "npu") else parse_devices(str(order), source)
    problem = npu_problem()
    if order is None:
        if problem is None:
            return Choice("furiosa", None, "an NPU answers")
        return Choice("onnxruntime", None, f"no NPU: {problem}")
    if problem is not None:
        raise _cannot_be_had(order, source, problem)
    num_pe = specs[0].num_pe if specs else 2
    return Choice("furiosa", order if specs else None, f"{source} orders it", num_pe)


def _order(device: object) -> tuple[str | None, str]:
    """What is ordered (None: nothing), and who orders it."""
    if device is None:
        for name in ENVIRONMENT:
            if value := os.environ.get(name):
                return (None if value == "auto" else value), name
        return None, "nobody"
    if not isinstance(device, str):
        msg = f"device must be a string or None, got {device!r}"
        raise TypeError(msg)
    return (None if device == "auto" else device), "the argument device"


def _cpu_is_ordered() -> bool:
    """Whether the environment orders the CPU."""
    order, _ = _order(None)
    return order == "cpu" or order in _OPENVINO


def _openvino(order: str, source: str) -> Choice:
    precision = _OPENVINO[order]
    if problem := openvino_problem(precision):
        raise _cannot_be_had(order, source, problem)
    return Choice("openvino", None, f"{source} orders {order!r}", precision=precision)


def _cannot_be_had(order: str, source: str, problem: str) -> BackendUnavailable:
    msg = f"{source} orders {order!r}, which cannot be had: {problem}. device='cpu' runs anywhere"
    return BackendUnavailable(msg)


def _parse(part: str, source: str) -> NpuSpec:
    if match := _ANY.fullmatch(part):
        if match["arch"] not in _ARCHITECTURES:
            raise _no_device(part, source, f"no architecture {match['arch']!r} is known")
        count = int(match["count"])
        if count < 1:
            raise _no_device(part, source, "it asks for no device at all")
        return NpuSpec(_num_pe(int(match["pes"] or 1), part, source), count)
    if match := _NAMED.fullmatch(part):
        first, last = int(match["first"]), int(match["last"] or match["first"])
        if (match["last"] and last <= first) or last >= _PROCESSING_ELEMENTS:
            raise _no_device(part, source, "an NPU has the processing elements 0, 1 and 0-1")
        pes = _num_pe(last - first + 1, part, source)
        return NpuSpec(pes, 1, int(match["device"] or match["old"] or 0), first)
    raise _no_device(part, source, _EXPECTED)


def _num_pe(number: int, part: str, source: str) -> Literal[1, 2]:
    if number == 1:
        return 1
    if number == _PROCESSING_ELEMENTS:
        return 2
    raise _no_device(part, source, "an NPU has 1 or 2 processing elements to give")


def _no_device(part: str, source: str, reason: str) -> ValueError:
    return ValueError(f"{source}: {part!r} is no device: {reason}")
