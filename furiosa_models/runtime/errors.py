"""Errors of the runtime, named as furiosa-runtime 0.10 names them.

```
FuriosaRuntimeError
├── SessionClosed        used after it was closed
├── SessionTerminated    the other end of a queue is gone, or its workers are
├── DeviceBusy           somebody else has the NPU
├── InvalidInput         a tensor does not fit, or there are too many or few (also a ValueError)
│   ├── InvalidDtype         a tensor has the wrong dtype, or is none (also a TypeError)
│   └── TensorNameNotFound   no input or output of that name
├── InvalidCompilerConfig  an option of the compiler is unknown, or of another type
└── QueueWaitTimeout     nothing came in time (also a TimeoutError)
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
    """Base of what a runner or a queue raises."""


class SessionClosed(FuriosaRuntimeError):
    """The runner, submitter, receiver or runtime was closed before."""


class SessionTerminated(FuriosaRuntimeError):
    """Nothing will come any more: the submitter was closed, or the workers died."""


class DeviceBusy(FuriosaRuntimeError):
    """The NPU is in use."""


class InvalidInput(FuriosaRuntimeError, ShapeError):
    """A tensor has the wrong shape or dtype, or there are too many or too few."""


class InvalidDtype(InvalidInput, TypeError):
    """A tensor has the wrong dtype, or is no array."""


class QueueWaitTimeout(FuriosaRuntimeError, TimeoutError):
    """No result came within the timeout."""


class InvalidCompilerConfig(FuriosaRuntimeError):
    """The compiler has no such option, or the option has another type."""


class TensorNameNotFound(InvalidInput):
    """The model has no input or output of that name."""


class FuriosaRuntimeWarning(RuntimeWarning):
    """Something that deserves attention and stops nothing."""


NativeException = FuriosaRuntimeError
FuriosaError = FuriosaRuntimeError
"""Names of `FuriosaRuntimeError` in the `furiosa.runtime.errors` of before 0.10."""
