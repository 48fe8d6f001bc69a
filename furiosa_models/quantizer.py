"""The API of furiosa-quantizer; see `furiosa_models.quantization`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ._lazy import lazy

if TYPE_CHECKING:
    import onnx

    from .quantization import (
        CalibrationMethod,
        Calibrator,
        ModelEditor,
        TensorType,
        get_output_names,
        get_pure_input_names,
    )

    __version__: str

__all__ = [
    "CalibrationMethod",
    "Calibrator",
    "Graph",
    "ModelEditor",
    "TensorType",
    "__version__",
    "get_output_names",
    "get_pure_input_names",
    "quantize",
]

Graph: TypeAlias = bytes
"""Return type of `quantize` in 0.9; here, an ONNX program."""


def quantize(
    model: onnx.ModelProto | bytes,
    tensor_name_to_range: Mapping[str, Sequence[float]],
    *,
    with_quantize: bool = True,
    normalized_pixel_outputs: Sequence[int] | None = None,
) -> bytes:
    """Return an int8 program. `furiosa_models.quantization.quantize` has more options.

    Args:
        model: A float32 program.
        tensor_name_to_range: Range (minimum, maximum) of each tensor.
        with_quantize: Whether the program takes float32. Otherwise, as in 0.9, it takes 8-bit
            values that cover the inputs' ranges, such as pixels.
        normalized_pixel_outputs: Indices of outputs that are pixels in 0..1, which the program
            returns as uint8, as in 0.9.

    Raises:
        ShapeError: The range of a tensor is missing or invalid.
        WeightsError: The bytes are not an ONNX model.
        IndexError: There is no such output.
    """
    from .networks import edit
    from .quantization import ModelEditor, TensorType
    from .quantization import quantize as quantized

    proto = edit.parse(model)
    editor = ModelEditor(proto)
    for name in () if with_quantize else edit.get_pure_input_names(proto):
        editor.convert_input_type(name, TensorType.UINT8)
    outputs = edit.get_output_names(proto)
    for index in normalized_pixel_outputs or ():
        editor.convert_output_type(outputs[index], TensorType.UINT8, (0.0, 1.0))
    return quantized(proto, tensor_name_to_range)


def _version() -> str:
    from importlib.metadata import version

    return version("furiosa-model-zoo")


__getattr__, __dir__ = lazy(
    __name__,
    {
        "quantization": [
            "CalibrationMethod",
            "Calibrator",
            "ModelEditor",
            "TensorType",
            "get_output_names",
            "get_pure_input_names",
        ],
    },
    computed={"__version__": _version},
)
