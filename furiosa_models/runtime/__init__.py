"""The API of furiosa-runtime 0.10, on every machine; `furiosa_models.runtime.sync` is blocking.

```python
async with create_runner(model) as runner:
    outputs = await asyncio.gather(*(runner.run(tensor) for tensor in tensors))

async with create_queue(model) as (submitter, receiver):
    await submitter.submit(tensor, context="first")
    context, outputs = await receiver.recv()
```

Importing this package imports neither ONNX Runtime nor asyncio. Names are imported on first use,
and ONNX Runtime by the first runner on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

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
    from .backends import register_backend
    from .errors import (
        DeviceBusy,
        FuriosaRuntimeError,
        FuriosaRuntimeWarning,
        InvalidCompilerConfig,
        InvalidDtype,
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
    "InvalidCompilerConfig",
    "InvalidDtype",
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
    "register_backend",
]

is_legacy = False
"""Whether this is the API before 0.10, as in furiosa-runtime."""

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
    "backends": ("register_backend",),
    "errors": (
        "DeviceBusy",
        "FuriosaRuntimeError",
        "FuriosaRuntimeWarning",
        "InvalidCompilerConfig",
        "InvalidDtype",
        "InvalidInput",
        "QueueWaitTimeout",
        "SessionClosed",
        "SessionTerminated",
        "TensorNameNotFound",
    ),
    "machine": ("full_version",),
    "source": ("ModelSource",),
    "tensor": ("Axis", "DataType", "Model", "Tensor", "TensorArray", "TensorDesc"),
}


def _version() -> str:
    from .machine import version

    return version()


def _full_version() -> str:
    from .machine import full_version

    return full_version()


__getattr__, __dir__ = lazy(
    __name__,
    _NAMES,
    modules=(*_NAMES, "devices", "doctor", "model", "profiler", "session", "sync", "tune"),
    computed={"__version__": _version, "__full_version__": _full_version},
)
