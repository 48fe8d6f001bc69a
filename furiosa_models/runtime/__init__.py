"""The runtime of furiosa-runtime 0.10, on every machine; blocking in `furiosa_models.runtime.sync`.

```python
async with create_runner(model) as runner:
    outputs = await asyncio.gather(*(runner.run(tensor) for tensor in tensors))

async with create_queue(model) as (submitter, receiver):
    await submitter.submit(tensor, context="first")
    context, outputs = await receiver.recv()
```

Importing it does not import ONNX Runtime: the first runner on the CPU does.
"""

from __future__ import annotations

from .awaitable import QueuePair, Receiver, Runner, Submitter
from .creation import Runtime, create_queue, create_runner
from .dtypes import Axis, DataType
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
from .model import Model
from .source import ModelSource
from .tensor import Tensor, TensorArray, TensorDesc
from .version import full_version

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


def __getattr__(name: str) -> str:
    if name == "__version__":
        from .version import version

        return version()
    if name == "__full_version__":
        return full_version()
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
