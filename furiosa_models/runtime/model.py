"""What a program takes and gives."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput, TensorNameNotFound
from .tensor import TensorDesc, zeros

__all__ = ["Model", "as_tensors"]


class Model:
    """Descriptions of a program's inputs and outputs.

    Args:
        inputs: Those of the inputs.
        outputs: Those of the outputs.
    """

    def __init__(self, inputs: Sequence[TensorDesc], outputs: Sequence[TensorDesc]) -> None:
        self._inputs = list(inputs)
        self._outputs = list(outputs)

    @property
    def input_num(self) -> int:
        """Number of inputs."""
        return len(self._inputs)

    @property
    def output_num(self) -> int:
        """Number of outputs."""
        return len(self._outputs)

    def input(self, idx: int) -> TensorDesc:
        """Description of an input; `IndexError` where there is none."""
        return _nth(self._inputs, idx, "input")

    def inputs(self) -> list[TensorDesc]:
        """Descriptions of the inputs."""
        return list(self._inputs)

    def output(self, idx: int) -> TensorDesc:
        """Description of an output; `IndexError` where there is none."""
        return _nth(self._outputs, idx, "output")

    def outputs(self) -> list[TensorDesc]:
        """Descriptions of the outputs."""
        return list(self._outputs)

    def summary(self) -> str:
        """Inputs and outputs, in words."""
        inputs, outputs = dict(enumerate(self._inputs)), dict(enumerate(self._outputs))
        return f"Inputs:\n{inputs}\nOutputs:\n{outputs}"

    def print_summary(self) -> None:
        """Write the summary to standard output."""
        sys.stdout.write(self.summary() + "\n")

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors, all zero."""
        return [zeros(desc) for desc in self._inputs]

    def check(self, tensors: Sequence[object]) -> list[npt.NDArray[Any]]:
        """The tensors as arrays, if they fit the inputs.

        Raises:
            TypeError: One has the wrong dtype.
            InvalidInput: One has the wrong shape, or there are too many or too few.
        """
        if len(tensors) != len(self._inputs):
            names = ", ".join(str(desc.name) for desc in self._inputs)
            msg = f"expected {len(self._inputs)} inputs ({names}), got {len(tensors)}"
            raise InvalidInput(msg)
        return [desc.check(tensor) for desc, tensor in zip(self._inputs, tensors, strict=True)]

    def check_named(self, output_names: object, inputs: object) -> list[npt.NDArray[Any]]:
        """As `check`, for inputs by name; the outputs' names are checked too.

        Raises:
            TypeError: As `check`; or the names are no list, or the inputs no mapping.
            InvalidInput: As `check`.
            TensorNameNotFound: The model has no such input or output.
        """
        if isinstance(output_names, str) or not isinstance(output_names, Sequence):
            msg = f"output_names must be a list of names, got {output_names!r}"
            raise TypeError(msg)
        if not isinstance(inputs, Mapping):
            msg = f"inputs must map names to tensors, got {type(inputs).__name__}"
            raise TypeError(msg)
        _check_names("output", output_names, self._outputs)
        _check_names("input", list(inputs), self._inputs)
        return self.check([inputs[str(d.name)] for d in self._inputs if d.name in inputs])


def as_tensors(inputs: object) -> list[object]:
    """One tensor, or an iterable of them, as a list of them."""
    if isinstance(inputs, (np.ndarray, np.generic)) or hasattr(inputs, "__array_interface__"):
        return [inputs]
    try:
        return list(inputs)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        msg = f"inputs must be a tensor or a list of them, got {type(inputs).__name__}"
        raise TypeError(msg) from None


def _nth(descs: Sequence[TensorDesc], idx: int, kind: str) -> TensorDesc:
    if not 0 <= idx < len(descs):
        msg = f"the model has {len(descs)} {kind}s, and no {kind} {idx}"
        raise IndexError(msg)
    return descs[idx]


def _check_names(kind: str, names: Sequence[str], known: Sequence[TensorDesc]) -> None:
    available = [desc.name for desc in known]
    for name in names:
        if name not in available:
            listing = ", ".join(str(known) for known in available)
            msg = f"the model has no {kind} {name!r}; it has {listing}"
            raise TensorNameNotFound(msg)
