"""Modules as exported programs and as ONNX, with an open batch size where a module allows it."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._lazy import require
from ...errors import ConversionError
from ..base import Array
from .arguments import Arguments
from .framework import first_lines, quiet, torch
from .tensors import as_array, as_tensor, floating_type

if TYPE_CHECKING:
    import onnx

__all__ = [
    "SCOPES",
    "exported_program",
    "in_float32",
    "on_cpu",
    "program_to_onnx",
    "script_to_onnx",
]

logger = logging.getLogger(__name__)

SCOPES = "pkg.torch.onnx.name_scopes"
"""Key of the metadata of an ONNX node that has the names of the modules around it."""


def exported_program(module: Any, arguments: Arguments) -> Any:
    """Return a module as an exported program, with an open batch size if the module allows it.

    The batch size is the first dimension of the first argument; other arguments of the same size
    have it, too.

    Raises:
        ConversionError: The module cannot be exported.
    """
    _check_float(module)
    arrays = [as_array(leaf) for leaf in arguments.leaves]
    pytorch = torch()
    try:
        size = next(len(array) for array in arrays if array.ndim)
        batches = _at_least_two(arrays, size)
        tensors = [as_tensor(array, module) for array in batches]
        shapes = pytorch.export.ShapesCollection()
        batch = pytorch.export.Dim("batch")
        for tensor, array in zip(tensors, arrays, strict=True):
            if array.ndim and len(array) == size:
                shapes[tensor] = {0: batch}
        return _export(module, arguments.with_leaves(tensors), shapes)
    except Exception as error:  # PyTorch raises errors of many types
        reason = first_lines(error)
    given = arguments.with_leaves(as_tensor(array, module) for array in arrays)
    try:
        program = _export(module, given, None)
    except Exception as error:  # PyTorch raises errors of many types
        msg = f"the module cannot be exported: {first_lines(error)}"
        raise ConversionError(msg) from error
    logger.warning("the batch size stays that of the example inputs: %s", reason)
    return program


def _export(module: Any, arguments: Arguments, shapes: Any) -> Any:
    pytorch = torch()
    with quiet(), pytorch.no_grad():
        program = pytorch.export.export(
            module, arguments.positional, arguments.named, dynamic_shapes=shapes
        )
    for node in program.graph.nodes:  # the paths and lines of the user's source files
        node.meta.pop("stack_trace", None)
    return program


def _at_least_two(arrays: Iterable[Array], size: int) -> list[Array]:
    """Return inputs with at least two samples: PyTorch takes a size of one for a constant."""
    if size > 1:
        return list(arrays)
    return [np.concatenate([a, a]) if a.ndim and len(a) == size else a for a in arrays]


def _check_float(module: Any) -> None:
    for name, each in module.named_modules():
        home = type(each).__module__
        if home.startswith("torch.") and ".quantized" in home:
            msg = (
                f"{name or 'the module'} is a quantized {type(each).__name__}, which cannot be "
                "converted: pass the module before its quantization"
            )
            raise ConversionError(msg)


def on_cpu(module: Any) -> Any:
    """Return a module, or a copy of it on the CPU if it is on another device."""
    weights = (*module.parameters(), *module.buffers())
    if all(weight.device.type == "cpu" for weight in weights):
        return module
    return copy.deepcopy(module).cpu()


def in_float32(module: Any) -> Any:
    """Return a module, or a copy of it in float32 if it is in another floating type.

    ONNX Runtime has no convolutions in half or double precision on the CPU.
    """
    if floating_type(module) in (None, torch().float32):
        return module
    return copy.deepcopy(module).float()


def program_to_onnx(
    program: Any, input_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto:
    """Return an exported program as ONNX.

    Raises:
        ConversionError: An operation cannot be converted.
        ExtraRequired: onnxscript is not installed.
    """
    require("onnxscript", "PyTorch's export to ONNX needs onnxscript", extra="torch")
    try:
        with quiet():
            exported = torch().onnx.export(
                program,
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=list(input_names),
                output_names=list(output_names),
            )
            model: onnx.ModelProto = exported.model_proto
    except Exception as error:  # PyTorch raises errors of many types
        msg = f"the module cannot be converted to ONNX: {first_lines(error)}"
        raise ConversionError(msg) from error
    _drop_metadata(model)
    return model


def script_to_onnx(
    module: Any, arguments: Arguments, input_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto:
    """Return TorchScript as ONNX.

    Raises:
        ConversionError: An operation cannot be converted.
    """
    import onnx

    arrays = [as_array(leaf) for leaf in arguments.leaves]
    size = next((len(array) for array in arrays if array.ndim), 1)
    tensors = [as_tensor(array, module) for array in _at_least_two(arrays, size)]
    batched = [n for n, a in zip(input_names, arrays, strict=True) if a.ndim and len(a) == size]
    stream = io.BytesIO()
    try:
        with quiet():
            torch().onnx.export(
                module,
                arguments.with_leaves(tensors).positional,
                stream,
                dynamo=False,
                input_names=list(input_names),
                output_names=list(output_names),
                dynamic_axes={name: {0: "batch"} for name in (*batched, *output_names)},
            )
    except Exception as error:  # PyTorch raises errors of many types
        msg = f"the scripted module cannot be converted to ONNX: {first_lines(error)}"
        raise ConversionError(msg) from error
    return onnx.load_from_string(stream.getvalue())


def _drop_metadata(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about every node but `SCOPES`, such as paths of source files."""
    graph = model.graph
    for each in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        kept = [entry for entry in each.metadata_props if entry.key == SCOPES]
        del each.metadata_props[:]
        each.metadata_props.extend(kept)
        each.doc_string = ""
    del graph.metadata_props[:]
