"""The runtime of furiosa-runtime 0.10, on every machine; blocking in `furiosa_models.runtime.sync`.

```python
async with create_runner(model) as runner:
    outputs = await asyncio.gather(*(runner.run(tensor) for tensor in tensors))

async with create_queue(model) as (submitter, receiver):
    await submitter.submit(tensor, context="first")
    context, outputs = await receiver.recv()
```

Importing it does not import ONNX Runtime: the first runner on the CPU does. Its names are imported
when they are first used, so that a blocking runner does without asyncio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import (
        QueuePair,
        Receiver,
        Runner,
        Runtime,
        Submitter,
        create_queue,
        create_runner,
    )
    from .errors import (
        DeviceBusy,
        FuriosaRuntimeError,
        FuriosaRuntimeWarning,
        InvalidInput,
        QueueWaitTimeout,
        SessionClosed,
        SessionTerminated,
        TensorNameNotFound,
    )
    from .machine import full_version
    from .source import ModelSource
    from .tensor import Axis, DataType, Model, Tensor, TensorArray, TensorDesc

__all__ = [
    "Axis",
    "DataType",
    "DeviceBusy",
    "FuriosaRuntimeError",
    "FuriosaRuntimeWarning",
    "InvalidInput",
    "Model",
    "ModelSource",
    "QueuePair",
    "QueueWaitTimeout",
    "Receiver",
    "Runner",
    "Runtime",
    "SessionClosed",
    "SessionTerminated",
    "Submitter",
    "Tensor",
    "TensorArray",
    "TensorDesc",
    "TensorNameNotFound",
    "__full_version__",
    "__version__",
    "create_queue",
    "create_runner",
    "full_version",
    "is_legacy",
]

is_legacy = False
"""As in furiosa-runtime: whether this is the API of before 0.10."""

__version__: str
__full_version__: str


_NAMES = {
    "aio": (
        "QueuePair",
        "Receiver",
        "Runner",
        "Runtime",
        "Submitter",
        "create_queue",
        "create_runner",
    ),
    "errors": (
        "DeviceBusy",
        "FuriosaRuntimeError",
        "FuriosaRuntimeWarning",
        "InvalidInput",
        "QueueWaitTimeout",
        "SessionClosed",
        "SessionTerminated",
        "TensorNameNotFound",
    ),
    "machine": ("full_version",),
    "model": ("Model",),
    "source": ("ModelSource",),
    "tensor": ("Axis", "DataType", "Tensor", "TensorArray", "TensorDesc"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    if name in ("__version__", "__full_version__"):
        from . import machine

        return machine.version() if name == "__version__" else machine.full_version()
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
