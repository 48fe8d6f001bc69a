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

__all__ = ["Choice", "choose", "npu_problem"]

logger = logging.getLogger(__name__)

_ENVIRONMENT = ("FURIOSA_DEVICES", "NPU_DEVNAME")
_DEVICE_FILES = "npu*"
_NPU = re.compile(
    r"""
    [a-z]+(\(\d+\))?\*\d+     # warboy(2)*1, warboy*1
    | npu:\d+:\d+(-\d+)?      # npu:0:0, npu:0:0-1
    | npu\d+(pe\d+(-\d+)?)?   # npu0pe0-1, deprecated
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A device that was chosen.

    Attributes:
        backend: `furiosa` for the vendor runtime, `onnxruntime` for the CPU.
        device: The vendor's device string, or None for its default and for the CPU.
        reason: Why, in words.
    """

    backend: Literal["furiosa", "onnxruntime"]
    device: str | None
    reason: str


def choose(device: str | None) -> Choice:
    """The device for a runner.

    Args:
        device: `"cpu"`, an NPU device string of the vendor runtime (`"warboy(2)*1"`,
            `"npu:0:0-1"`, comma-separated), or `"auto"` or None. These leave the choice to
            `FURIOSA_DEVICES`, then `NPU_DEVNAME`, then to what is there: an NPU, else the CPU.

    Raises:
        BackendUnavailable: A device was ordered that is not there.
        ValueError: The string is no device string.
    """
    order, source = _order(device)
    if order == "cpu":
        return _logged(Choice("onnxruntime", None, f"{source} orders the CPU"))
    problem = npu_problem()
    if order is None:
        if problem is None:
            return _logged(Choice("furiosa", None, "an NPU answers"))
        return _logged(Choice("onnxruntime", None, f"no NPU: {problem}"))
    _check_syntax(order, source)
    if problem is not None:
        msg = (
            f"{source} orders {order!r}, which cannot be had: {problem}. device='cpu' runs anywhere"
        )
        raise BackendUnavailable(msg)
    return _logged(Choice("furiosa", order, f"{source} orders it"))


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
    if not any(Path("/dev").glob(_DEVICE_FILES)):
        return "furiosa-runtime imports but there is no device file /dev/npu*"
    return None


def _order(device: str | None) -> tuple[str | None, str]:
    """What is ordered (None: nothing), and who orders it."""
    if device is not None and device != "auto":
        return device, "the argument device"
    if device is None:
        for name in _ENVIRONMENT:
            if value := os.environ.get(name):
                return (None if value == "auto" else value), name
    return None, "nobody"


def _check_syntax(order: str, source: str) -> None:
    for part in order.split(","):
        if not _NPU.fullmatch(part.strip()):
            msg = (
                f"{source}: {part!r} is no device: expected 'cpu', 'auto', or an NPU such as "
                "'warboy(2)*1', 'warboy*1', 'npu:0:0-1'"
            )
            raise ValueError(msg)


def _logged(choice: Choice) -> Choice:
    logger.info("running on %s: %s", choice.backend, choice.reason)
    return choice
