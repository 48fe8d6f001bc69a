"""Errors of the runtime, named as in furiosa-runtime 0.10.

```
FuriosaRuntimeError
├── SessionClosed        used after it was closed
├── SessionTerminated    the other end of a queue was closed, or its workers died
├── DeviceBusy           the NPU is in use
├── InvalidInput         wrong shape, or wrong number of tensors (also a ValueError)
│   ├── InvalidDtype         wrong dtype, or not an array (also a TypeError)
│   └── TensorNameNotFound   no input or output has this name
├── InvalidCompilerConfig  a compiler option is unknown or has the wrong type
└── QueueWaitTimeout     no result arrived in time (also a TimeoutError)
```
"""

from __future__ import annotations

from ..errors import FuriosaModelsError, ShapeError

__all__ = [
    "DeviceBusy",
    "FuriosaError",
    "FuriosaRuntimeError",
    "FuriosaRuntimeWarning",
    "InvalidCompilerConfig",
    "InvalidDtype",
    "InvalidInput",
    "NativeException",
    "QueueWaitTimeout",
    "SessionClosed",
    "SessionTerminated",
    "TensorNameNotFound",
]


class FuriosaRuntimeError(FuriosaModelsError):
    """Base class of errors of runners and queues."""


class SessionClosed(FuriosaRuntimeError):
    """The runner, submitter, receiver or runtime was already closed."""


class SessionTerminated(FuriosaRuntimeError):
    """No more results will come: the submitter was closed, or the workers died."""


class DeviceBusy(FuriosaRuntimeError):
    """The NPU is in use."""


class InvalidInput(FuriosaRuntimeError, ShapeError):
    """A tensor has the wrong shape or dtype, or the number of tensors is wrong."""


class InvalidDtype(InvalidInput, TypeError):
    """A tensor has the wrong dtype, or is not an array."""


class QueueWaitTimeout(FuriosaRuntimeError, TimeoutError):
    """No result arrived within the timeout."""


class InvalidCompilerConfig(FuriosaRuntimeError):
    """A compiler option is unknown or has the wrong type."""


class TensorNameNotFound(InvalidInput):
    """The model has no input or output with this name."""


class FuriosaRuntimeWarning(RuntimeWarning):
    """Something that deserves attention but is not an error."""


NativeException = FuriosaRuntimeError
FuriosaError = FuriosaRuntimeError
"""Names of `FuriosaRuntimeError` in `furiosa.runtime.errors` before 0.10."""
