"""The blocking runner."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from .backends import Session
from .devices import Choice
from .errors import SessionClosed
from .model import Model
from .npu import FuriosaSession
from .tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Runner"]


class Runner:
    """A loaded model; safe to use from many threads.

    Attributes:
        choice: The device it runs on, and why.
    """

    def __init__(self, session: Session | FuriosaSession, choice: Choice) -> None:
        self._session: Session | FuriosaSession | None = session
        self._closing = threading.Lock()
        self.choice = choice

    @property
    def backend(self) -> str:
        """`furiosa`, `onnxruntime`, `openvino` or `litert`."""
        return self.choice.backend

    @property
    def model(self) -> Model:
        """What the program takes and gives."""
        model: Model = self._open().model
        return model

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the inputs may have any size."""
        return not self.choice.is_npu and all(0 in desc.open_dims for desc in self.model.inputs())

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors, all zero."""
        return self._open().allocate()

    def run(self, inputs: Tensor | Sequence[Tensor]) -> list[npt.NDArray[Any]]:
        """Outputs for one input, or for a list of them; the inputs are not copied.

        Raises:
            TypeError: An input has the wrong dtype.
            InvalidInput: An input has the wrong shape, or there are too many or too few.
            SessionClosed: The runner was closed.
            FuriosaRuntimeError: The inference failed.
        """
        return self._open().run(inputs)

    def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, Tensor]
    ) -> list[npt.NDArray[Any]]:
        """The named outputs for inputs by name.

        Raises:
            TensorNameNotFound: The model has no such input or output.
            TypeError: As `run` raises; so do the others.
            InvalidInput: An input is missing, or has the wrong shape.
            SessionClosed: The runner was closed.
            FuriosaRuntimeError: The inference failed.
        """
        return self._open().run_with(output_names, inputs)

    def close(self) -> bool:
        """Free the model; True the first time."""
        with self._closing:
            session, self._session = self._session, None
        if session is not None:
            session.close()
        return session is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._session is None else self.choice.reason
        return f"<{type(self).__name__} on {self.backend}: {state}>"

    def _open(self) -> Session | FuriosaSession:
        session = self._session
        if session is None:
            msg = "the runner is closed: create a new one"
            raise SessionClosed(msg)
        return session
