"""Errors of the runtime, named as furiosa-runtime 0.10 names them.

```
FuriosaRuntimeError
├── SessionClosed        used after it was closed
├── SessionTerminated    the other end of a queue is gone, or its workers are
├── DeviceBusy           somebody else has the NPU
├── InvalidInput         a tensor of the wrong shape, or too many or few (also a ValueError)
├── QueueWaitTimeout     nothing came in time (also a TimeoutError)
└── TensorNameNotFound   no input or output of that name (also a ValueError)
```

A tensor of the wrong dtype is a plain `TypeError`.
"""

from __future__ import annotations

from ..errors import FuriosaModelsError, ShapeError

__all__ = [
    "DeviceBusy",
    "FuriosaRuntimeError",
    "FuriosaRuntimeWarning",
    "InvalidInput",
    "NativeException",
    "QueueWaitTimeout",
    "SessionClosed",
    "SessionTerminated",
    "TensorNameNotFound",
]


class FuriosaRuntimeError(FuriosaModelsError):
    """Base of what a runner or a queue raises, but for a wrong dtype (`TypeError`)."""


class SessionClosed(FuriosaRuntimeError):
    """The runner, submitter, receiver or runtime was closed before."""


class SessionTerminated(FuriosaRuntimeError):
    """Nothing will come any more: the submitter was closed, or the workers died."""


class DeviceBusy(FuriosaRuntimeError):
    """The NPU is in use."""


class InvalidInput(FuriosaRuntimeError, ShapeError):
    """A tensor has the wrong shape, or there are too many or too few."""


class QueueWaitTimeout(FuriosaRuntimeError, TimeoutError):
    """No result came within the timeout."""


class TensorNameNotFound(FuriosaRuntimeError, ShapeError):
    """The model has no input or output of that name."""


class FuriosaRuntimeWarning(RuntimeWarning):
    """Something that deserves attention and stops nothing."""


NativeException = FuriosaRuntimeError
"""Name of `FuriosaRuntimeError` in `furiosa.runtime.errors`."""
