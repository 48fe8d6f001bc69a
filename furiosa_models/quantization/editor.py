"""Questions to a graph, and marks that tell `quantize` what to make of its inputs."""

from __future__ import annotations

from enum import IntEnum

import onnx

from ..errors import ShapeError, WeightsError

__all__ = [
    "ModelEditor",
    "TensorType",
    "get_output_names",
    "get_pure_input_names",
    "marked_inputs",
    "parse",
]

_MARK = "furiosa_models.input_type."


class TensorType(IntEnum):
    """Element type of a quantized program's input."""

    UINT8 = 1
    INT8 = 2
    FLOAT32 = 3


class ModelEditor:
    """Notes in a model what `quantize` is to make of it.

    Args:
        model: The model, which is changed in place.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        _check_type(model, onnx.ModelProto)
        self._model = model

    def convert_input_type(self, tensor_name: str, tensor_type: TensorType) -> None:
        """Let the quantized program take an input as numbers of 8 bits.

        They stand for the input's range: 0 for its lower end, 255 for its upper one.

        Args:
            tensor_name: Name of the input.
            tensor_type: `UINT8`, or `FLOAT32` to undo that.

        Raises:
            ShapeError: The model has no such input.
            ValueError: It cannot be of that type.
        """
        names = get_pure_input_names(self._model)
        if tensor_name not in names:
            msg = f"the model has no input {tensor_name!r}; it has {', '.join(names)}"
            raise ShapeError(msg)
        if tensor_type not in (TensorType.UINT8, TensorType.FLOAT32):
            msg = f"an input becomes UINT8 or FLOAT32, not {tensor_type!r}"
            raise ValueError(msg)
        key = _MARK + tensor_name
        kept = [prop for prop in self._model.metadata_props if prop.key != key]
        del self._model.metadata_props[:]
        self._model.metadata_props.extend(kept)
        if tensor_type is TensorType.UINT8:
            self._model.metadata_props.add(key=key, value=tensor_type.name)


def get_pure_input_names(model: onnx.ModelProto) -> list[str]:
    """Names of the inputs; initialisers do not count."""
    initialised = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in initialised]


def get_output_names(model: onnx.ModelProto) -> list[str]:
    """Names of the outputs."""
    return [value.name for value in model.graph.output]


def marked_inputs(model: onnx.ModelProto) -> list[str]:
    """Inputs that were marked, of which the model then forgets that they were."""
    marks = [prop for prop in model.metadata_props if prop.key.startswith(_MARK)]
    for mark in marks:
        model.metadata_props.remove(mark)
    return [mark.key.removeprefix(_MARK) for mark in marks]


def parse(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    """A copy of a model that may be changed.

    Raises:
        TypeError: It is neither a `ModelProto` nor bytes.
        WeightsError: The bytes are no ONNX model.
    """
    _check_type(model, (bytes, onnx.ModelProto))
    copy = onnx.ModelProto()
    try:
        copy.ParseFromString(model if isinstance(model, bytes) else model.SerializeToString())
    except Exception as error:  # protobuf's error class depends on its implementation
        msg = f"not an ONNX model: {error}"
        raise WeightsError(msg) from error
    if not copy.graph.output:
        msg = "not an ONNX model: it has no graph with outputs"
        raise WeightsError(msg)
    return copy


def _check_type(model: object, kinds: type | tuple[type, ...]) -> None:
    if not isinstance(model, kinds):
        names = " or ".join(k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,)))
        msg = f"expected a model as {names}, got {type(model).__name__}"
        raise TypeError(msg)
