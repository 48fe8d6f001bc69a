"""What the models of all frameworks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ConversionError, ShapeError

if TYPE_CHECKING:
    import os

    import onnx

__all__ = ["Array", "FrameworkModel", "Inputs", "feed_by_name"]

Array: TypeAlias = npt.NDArray[Any]
Inputs: TypeAlias = "Array | Sequence[Array] | Mapping[str, Array]"
"""Inputs of a model: an array if there is one input, a sequence in their order, or by name."""


class FrameworkModel(ABC):
    """A model of a framework: an object in memory, or what a path contains.

    Reading the names or the graph imports the framework only if it is needed for that. Nothing
    changes the environment variables of the process.

    Attributes:
        framework: Name of the framework.
        form: Form of the model in the framework, such as `frozen pb`.
    """

    framework: ClassVar[str]
    form: str

    @property
    @abstractmethod
    def raw(self) -> Any:
        """The model as an object of its framework, which functions of users receive."""

    @property
    @abstractmethod
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set.

        Raises:
            ShapeError: On setting, the graph has no such tensor.
        """

    @input_names.setter
    @abstractmethod
    def input_names(self, names: Sequence[str]) -> None: ...

    @property
    @abstractmethod
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set.

        Raises:
            ShapeError: On setting, the graph has no such tensor.
        """

    @output_names.setter
    @abstractmethod
    def output_names(self, names: Sequence[str]) -> None: ...

    @property
    @abstractmethod
    def graph_info(self) -> dict[str, str]:
        """Type of each operation, or module, by its name."""

    @abstractmethod
    def to_onnx(self) -> onnx.ModelProto:
        """Return the model as ONNX, with the inputs and outputs of the original in their order.

        Raises:
            ConversionError: An operation cannot be converted; the message names it.
            ExtraRequired: The framework, or its converter, is not installed.
        """

    @abstractmethod
    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs that the framework itself computes.

        Raises:
            ExtraRequired: The framework is not installed.
            ShapeError: The number or the names of the inputs are not those of the model.
        """

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model in the saved form of its row, and return the path that was written.

        Raises:
            FuriosaModelsError: Something exists at that path, or it cannot be written.
        """

    def operations(self, program: onnx.ModelProto) -> Mapping[str, tuple[str, str]]:
        """Return the name and type that nodes of `to_onnx()` have in the framework, by node name.

        Nodes that have the same name and type there may be left out.
        """
        del program
        return {}

    def quantized(self, program: onnx.ModelProto) -> FrameworkModel:
        """Return the model in the same framework, with the quantization of an ONNX program.

        Args:
            program: `to_onnx()` after quantization: `QuantizeLinear` and `DequantizeLinear` around
                the quantized operations, whose nodes have kept their names.

        Raises:
            ConversionError: The framework has no form for it.
        """
        del program
        msg = (
            f"a quantized model cannot be written back to {self.form} of {self.framework}: "
            "quantize its ONNX, wrap(model.to_onnx())"
        )
        raise ConversionError(msg)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.form})"


def feed_by_name(inputs: Inputs, names: Sequence[str]) -> dict[str, Array]:
    """Return inputs by name.

    Args:
        inputs: See `Inputs`.
        names: Names of the inputs, in their order.

    Raises:
        ShapeError: The number of inputs, or a name, is not that of the model.
    """
    if isinstance(inputs, Mapping):
        if inputs.keys() != {*names}:
            msg = f"expected the inputs {', '.join(names)}, got {', '.join(map(str, inputs))}"
            raise ShapeError(msg)
        return {name: np.asarray(inputs[name]) for name in names}
    given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(given) != len(names):
        msg = f"expected {len(names)} inputs ({', '.join(names)}), got {len(given)}"
        raise ShapeError(msg)
    return {name: np.asarray(array) for name, array in zip(names, given, strict=True)}
