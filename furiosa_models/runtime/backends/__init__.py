"""The table of backends: what runs models, and on which devices.

Every row is a file of this folder and is imported when it is first asked for. Users add rows:

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
    "register_backend",
]

_SHIPPED = {
    "onnxruntime": "OnnxRuntimeBackend",
    "litert": "LiteRtBackend",
    "openvino": "OpenVinoBackend",
    "furiosa": "FuriosaBackend",
}
"""Classes by the names of their modules; a device that several match goes to the first of them."""

Registered = TypeVar("Registered", bound="Backend | type[Backend]")

_loaded: dict[str, Backend] = {}
_registered: dict[str, Backend] = {}


def register_backend(backend: Registered, name: str | None = None) -> Registered:
    """Add a backend to the table, or replace one that was added under the same name.

    Backends that were added are asked before those of this package.

    Args:
        backend: The backend, or its class, of which an instance is then made; so it may be used as
            a decorator.
        name: Its name, in place of `backend.name`.

    Returns:
        What was given.

    Raises:
        ValueError: It has no name, or that of a backend of this package.
    """
    row = backend() if isinstance(backend, type) else backend
    if name is not None:
        row.name = name
    if not row.name:
        msg = f"{backend!r} has no name: set one, or give register_backend(..., name=...)"
        raise ValueError(msg)
    if row.name in (*_SHIPPED, "auto", "cpu", "npu"):
        msg = f"{row.name!r} is a backend or a device of this package: give yours another name"
        raise ValueError(msg)
    _registered[row.name] = row
    return backend


def find_backend(name: str) -> Backend | None:
    """Return the backend of a name, or None where there is none."""
    if name in _registered:
        return _registered[name]
    if name not in _loaded and name in _SHIPPED:
        module = importlib.import_module(f"{__name__}.{name}")
        _loaded[name] = getattr(module, _SHIPPED[name])()
    return _loaded.get(name)


def backends() -> Iterator[Backend]:
    """Give all backends, those that users added first; imports each when its turn comes."""
    for name in (*_registered, *_SHIPPED):
        if (backend := find_backend(name)) is not None:
            yield backend


def backends_for(device: str) -> Iterator[Backend]:
    """Give the backends that match a device string, in the order in which they are asked."""
    return (backend for backend in backends() if backend.matches(device))
