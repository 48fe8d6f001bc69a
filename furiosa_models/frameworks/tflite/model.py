"""A TensorFlow Lite model: names, operations, conversion, inference, and the file itself."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._lazy import require
from ...errors import ShapeError, WeightsError
from ...output import new_file
from ..base import Array, FrameworkModel, Inputs, feed_by_name
from .convert import to_onnx
from .file import read_graph

if TYPE_CHECKING:
    import onnx

__all__ = ["TfliteModel"]


class TfliteModel(FrameworkModel):
    """A TensorFlow Lite model, of which the first graph counts.

    Args:
        data: Bytes of the file.
        form: `file` or `bytes`.

    Raises:
        WeightsError: The bytes are not a TensorFlow Lite file.
    """

    framework = "tflite"

    def __init__(self, data: bytes, *, form: str = "bytes") -> None:
        self._data = data
        self._graph = read_graph(data)
        self._index = {tensor.name: i for i, tensor in enumerate(self._graph.tensors)}
        self._outputs = list(self._graph.outputs)
        self.form = form

    @property
    def raw(self) -> bytes:
        """The bytes of the file."""
        return self._data

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set to these names only."""
        return [self._graph.tensors[i].name for i in self._graph.inputs]

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        if [*names] != self.input_names:
            msg = (
                f"the inputs of a TensorFlow Lite model are fixed: expected "
                f"{', '.join(self.input_names)}, got {', '.join(names)}"
            )
            raise ShapeError(msg)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set to those of any tensors of the graph."""
        return [self._graph.tensors[i].name for i in self._outputs]

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        computed = {i for operator in self._graph.operators for i in operator.outputs}
        known = {*computed, *self._graph.outputs}
        unknown = [name for name in names if self._index.get(name) not in known]
        if unknown or not names or len({*names}) != len(names):
            msg = (
                f"expected different names of tensors that the graph computes, got "
                f"{', '.join(unknown or names) or 'none'}: see graph_info for the names"
            )
            raise ShapeError(msg)
        self._outputs = [self._index[name] for name in names]

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each operation, such as `CONV_2D`, by the name of its first output."""
        return {operator.name: operator.kind for operator in self._graph.operators}

    def to_onnx(self) -> onnx.ModelProto:
        """Return the model as ONNX, with names, types, layout and static shapes of the file."""
        return to_onnx(self._graph, self._outputs)

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs that LiteRT computes.

        Raises:
            ExtraRequired: LiteRT is not installed.
            ShapeError: The inputs, or the shape or type of one, are not those of the model.
            WeightsError: LiteRT cannot run the model.
        """
        made = require(
            "ai_edge_litert.interpreter", "TensorFlow Lite models run on LiteRT", extra="tflite"
        )
        feed = feed_by_name(inputs, self.input_names)
        try:
            interpreter = self._interpreter(made.Interpreter)
            for index, name in zip(self._graph.inputs, self.input_names, strict=True):
                _set_input(interpreter, index, name, feed[name])
            interpreter.invoke()
        except ShapeError:
            raise
        except (RuntimeError, ValueError) as error:
            msg = f"LiteRT cannot run the TensorFlow Lite model: {error}"
            raise WeightsError(msg) from error
        return [interpreter.get_tensor(i) for i in self._outputs]

    def _interpreter(self, kind: Callable[..., Any]) -> Any:
        """Return an interpreter, which keeps the tensors inside if one of them is an output."""
        inside = any(i not in self._graph.outputs for i in self._outputs)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")
            interpreter = kind(model_content=self._data, experimental_preserve_all_tensors=inside)
        interpreter.allocate_tensors()
        return interpreter

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file; `.tflite` is appended to a path without a suffix."""
        target = Path(path)
        if not target.suffix:
            target = target.with_suffix(".tflite")
        with new_file(target) as partial:
            partial.write_bytes(self._data)
        return target


def _set_input(interpreter: Any, index: int, name: str, array: Array) -> None:
    try:
        interpreter.set_tensor(index, array)
    except ValueError as error:
        msg = f"input {name}: {error}"
        raise ShapeError(msg) from error
