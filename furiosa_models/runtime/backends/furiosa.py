"""The NPU backend: the vendor's own runtime, passed through."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from .. import errors
from ..errors import FuriosaRuntimeError

__all__ = ["FuriosaQueue", "FuriosaSession", "given", "vendor", "vendor_errors"]

_ERRORS = {
    name: getattr(errors, name)
    for name in (
        "DeviceBusy",
        "InvalidInput",
        "QueueWaitTimeout",
        "SessionClosed",
        "SessionTerminated",
        "TensorNameNotFound",
    )
} | {"TimeoutError": errors.QueueWaitTimeout}
_PASSED_ON = (TypeError, ValueError, StopIteration, StopAsyncIteration, FuriosaRuntimeError)


class FuriosaSession:
    """A runner of furiosa-runtime.

    Args:
        creator: Its module `furiosa.runtime.sync`, or a `Runtime` of it.
        model: ENF bytes or a path, or what else the vendor runtime takes.
        options: Its keyword arguments; those that are None are left to it.

    Attributes:
        model: What the program takes and gives.

    Raises:
        FuriosaRuntimeError: The vendor runtime cannot create the runner.
    """

    def __init__(self, creator: Any, model: object, **options: object) -> None:
        with vendor_errors():
            self._runner = creator.create_runner(model, **given(options))
            self.model = self._runner.model

    def run(self, inputs: object) -> list[npt.NDArray[Any]]:
        """Outputs for one input or a list of them."""
        with vendor_errors():
            return list(self._runner.run(inputs))

    def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, Any]
    ) -> list[npt.NDArray[Any]]:
        """The named outputs for inputs by name."""
        with vendor_errors():
            return list(self._runner.run_with(output_names, inputs))

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors."""
        with vendor_errors():
            return list(self._runner.allocate())

    def close(self) -> None:
        """Free the device."""
        with vendor_errors():
            self._runner.close()


class FuriosaQueue:
    """A queue of furiosa-runtime; arguments as of `FuriosaSession`."""

    def __init__(self, creator: Any, model: object, **options: object) -> None:
        with vendor_errors():
            self._submitter, self._receiver = creator.create_queue(model, **given(options))
            self.model = self._submitter.model

    def submit(self, inputs: object, context: object) -> None:
        """Put inputs into the queue."""
        with vendor_errors():
            self._submitter.submit(inputs, context)

    def recv(self, timeout: float | None = None) -> tuple[Any, list[npt.NDArray[Any]]]:
        """Take a result."""
        with vendor_errors():
            context, outputs = self._receiver.recv(timeout)
        return context, list(outputs)

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors."""
        with vendor_errors():
            return list(self._submitter.allocate())

    def close_submitter(self) -> bool:
        """Take no more submissions."""
        with vendor_errors():
            return bool(self._submitter.close())

    def close_receiver(self) -> bool:
        """Give no more results."""
        with vendor_errors():
            return bool(self._receiver.close())

    def join(self) -> None:
        """Nothing: the vendor's `close` has waited already."""


def vendor(module: str) -> Any:
    """A module of the vendor runtime: `furiosa.runtime` or `furiosa.runtime.sync`."""
    return importlib.import_module(module)


def given(options: Mapping[str, object]) -> dict[str, object]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def vendor_errors() -> Iterator[None]:
    """Raise the vendor's errors as ours of the same name."""
    try:
        yield
    except _PASSED_ON:
        raise
    except Exception as error:
        kind = _ERRORS.get(type(error).__name__, FuriosaRuntimeError)
        msg = f"furiosa-runtime: {error}"
        raise kind(msg) from error
