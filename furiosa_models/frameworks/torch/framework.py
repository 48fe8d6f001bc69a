"""Import of PyTorch, and what it changes in a process or a module while it exports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..._lazy import require
from ..environment import kept_environment
from ..messages import silenced

__all__ = ["first_lines", "quiet", "torch", "unchanged"]

_ENVIRONMENT = "TORCHINDUCTOR_CACHE_DIR"  # exporting a program sets it
_LONGEST = 2000


def torch() -> Any:
    """Return the module `torch`.

    Raises:
        ExtraRequired: It is not installed.
    """
    return require("torch", "models of PyTorch need PyTorch", extra="torch")


@contextmanager
def unchanged(module: Any) -> Iterator[None]:
    """Put a module into evaluation mode for a while; restore its mode and the environment."""
    modes = [(each, each.training) for each in getattr(module, "modules", list)()]
    with kept_environment(_ENVIRONMENT):
        for each, _ in modes:
            each.training = False
        try:
            yield
        finally:
            for each, mode in modes:
                each.training = mode


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings and log messages that loaders and exporters give about themselves."""
    with silenced("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
        yield


def first_lines(error: BaseException) -> str:
    """Return the beginning of the message of an error; PyTorch's may contain whole graphs."""
    return str(error).strip()[:_LONGEST] or type(error).__name__
