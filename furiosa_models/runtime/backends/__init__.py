"""The table of backends, which run models on devices.

Each backend is a module of this folder, imported on first use. Users can register more:

```python
@register_backend
class Mine(Backend):
    name = "mine"

    def load(self, program: bytes | str, setup: Setup) -> Session:
        return MySession(self, program)

create_runner(model, device="mine")
```
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TypeVar

from .base import Backend, Session, Setup

__all__ = [
    "Backend",
    "Session",
    "Setup",
    "backends",
    "backends_for",
    "find_backend",
    "is_shipped",
    "register_backend",
]

_SHIPPED = {
    "onnxruntime": ("onnxruntime", "OnnxRuntimeBackend"),
    "litert": ("litert", "LiteRtBackend"),
    "openvino": ("openvino", "OpenVinoBackend"),
    "torchscript": ("torchscript", "TorchScriptBackend"),
    "cuda": ("providers", "CudaBackend"),
    "tensorrt": ("providers", "TensorRTBackend"),
    "coreml": ("providers", "CoreMLBackend"),
    "furiosa": ("furiosa", "FuriosaBackend"),
}
"""Module and class of each backend. If several match a device, the first one wins."""

Registered = TypeVar("Registered", bound="Backend | type[Backend]")

_loaded: dict[str, Backend] = {}
_registered: dict[str, Backend] = {}


def register_backend(backend: Registered, name: str | None = None) -> Registered:
    """Add a backend, or replace one that was registered under the same name.

    Registered backends take precedence over those of this package.

    Args:
        backend: The backend, or its class, which is then instantiated, so that this can be a
            decorator.
        name: Its name, instead of `backend.name`.

    Returns:
        The argument `backend`.

    Raises:
        ValueError: It has no name, or the name of a backend of this package.
    """
    row = backend() if isinstance(backend, type) else backend
    if name is not None:
        row.name = name
    if not row.name:
        msg = f"{backend!r} has no name: set one, or pass register_backend(..., name=...)"
        raise ValueError(msg)
    if row.name in (*_SHIPPED, "auto", "cpu", "npu"):
        msg = f"{row.name!r} is a backend or device of this package: choose another name"
        raise ValueError(msg)
    _registered[row.name] = row
    return backend


def is_shipped(name: str) -> bool:
    """Return whether a backend is of this package, rather than registered."""
    return name in _SHIPPED


def find_backend(name: str) -> Backend | None:
    """Return a backend by name, or None."""
    if name in _registered:
        return _registered[name]
    if name not in _loaded and name in _SHIPPED:
        module, cls = _SHIPPED[name]
        _loaded[name] = getattr(importlib.import_module(f"{__name__}.{module}"), cls)()
    return _loaded.get(name)


def backends() -> Iterator[Backend]:
    """Yield all backends, registered ones first. Each is imported when its turn comes."""
    for name in (*_registered, *_SHIPPED):
        if (backend := find_backend(name)) is not None:
            yield backend


def backends_for(device: str) -> Iterator[Backend]:
    """Yield the backends that match a device string, in order of precedence."""
    return (backend for backend in backends() if backend.matches(device))
