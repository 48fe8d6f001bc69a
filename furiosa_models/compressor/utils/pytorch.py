"""Quantized PyTorch models: reading what `save` wrote, and the recipe of Intel's extension.

Intel Extension for PyTorch was archived in 2026 and cannot be installed with today's PyTorch. The
recipe has the structure of its JSON file (`save_qconf_summary`): for each module the scales and
zero points of its inputs, weights and outputs. Beside them it has what this package needs to
quantize the module again in the same way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnx import numpy_helper

from ...errors import ConfigurationError, WeightsError
from ...frameworks.torch import FILE, TorchModel, recognize
from ...networks import edit
from ...quantization.calibrated import Calibration

if TYPE_CHECKING:
    from ..model.base_model import BaseModel

__all__ = ["RECIPE", "load", "recipe_of"]

RECIPE = "best_configure.json"
"""Name of the file of a recipe."""

_OWN = "furiosa_models"
_TYPES = {"uint8": "torch.quint8", "int8": "torch.qint8"}


def load(
    checkpoint_dir: str | os.PathLike[str] | None = None,
    model: Any = None,
    layer_wise: bool = False,
    history_cfg: Mapping[str, Any] | None = None,
    weight_only: bool = False,
    example_inputs: Any = None,
) -> Any:
    """Return the quantized module that `save` wrote.

    Args:
        checkpoint_dir: Folder or file: `best_model.pt`, or a recipe.
        model: The float module, for a recipe.
        layer_wise: False.
        history_cfg: None: nothing is read from a history.
        weight_only: False.
        example_inputs: Inputs of the float module with a batch dimension, for a recipe.

    Raises:
        ConfigurationError: An argument is missing or not supported.
        WeightsError: There is no such file, or it cannot be read.
    """
    if layer_wise or weight_only or history_cfg is not None or checkpoint_dir is None:
        msg = "load supports only checkpoint_dir=, model= and example_inputs="
        raise ConfigurationError(msg)
    path = Path(checkpoint_dir)
    recipe = path / RECIPE if path.is_dir() else path
    if recipe.suffix == ".json" and recipe.is_file():
        if model is None:
            msg = f"{recipe} is a recipe without weights: pass model=, the float module"
            raise ConfigurationError(msg)
        return _requantized(recipe, model, example_inputs)
    found = recognize(path)
    if found is None:
        msg = f"{path} has neither {FILE} nor {RECIPE}"
        raise WeightsError(msg)
    return found.raw


def recipe_of(model: BaseModel) -> dict[str, Any]:
    """Return the recipe of a quantized model.

    Raises:
        ConfigurationError: The model is not quantized with calibration data.
    """
    report = model.report
    if report is None or report.calibration is None:
        msg = "only a model that was quantized with calibration data has a recipe"
        raise ConfigurationError(msg)
    program = edit.parse(report.program)
    source = model.fitted_from
    operations = source.operations(program) if source is not None else {}
    infos = {
        str(number): _operation(program.graph, node, *operations.get(node.name, (node.name, "")))
        for number, node in enumerate(
            n for n in program.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")
        )
    }
    own = report.calibration._asdict()
    return {" ": {"q_op_infos": infos, "nonq_op_infos": {}, "layer_output_infos": []}, _OWN: own}


def _operation(
    graph: onnx.GraphProto, node: onnx.NodeProto, name: str, kind: str
) -> dict[str, Any]:
    """Return the entry of an operation; a float one has no scales."""
    inputs = [_tensor(graph, tensor) for tensor in node.input[:2]]
    takers = [
        n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == node.output[0]
    ]
    outputs = [_quantization(graph, taker) for taker in takers]
    return {
        "op_type": f"<class 'torch.nn.{kind}'>" if kind else node.op_type,
        "op_type_is_module": bool(kind),
        "fqn": name,
        "input_tensor_infos": [{"id": 0, **inputs[0]}],
        "weight_tensor_infos": [{"id": 0, **inputs[1]}],
        "output_tensor_infos": [{"id": i, **found} for i, found in enumerate(outputs)],
    }


def _tensor(graph: onnx.GraphProto, name: str) -> dict[str, Any]:
    source = next((node for node in graph.node if name in node.output), None)
    if source is None or source.op_type != "DequantizeLinear":
        return {"orig_dtype": "torch.float32", "force_dtype": "torch.float32"}
    return _quantization(graph, source)


def _quantization(graph: onnx.GraphProto, node: onnx.NodeProto) -> dict[str, Any]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    dtype = _TYPES.get(zero.dtype.name, zero.dtype.name)
    return {
        "orig_dtype": "torch.float32",
        "inf_dtype": dtype,
        "force_dtype": dtype,
        "scale": scale.reshape(-1).tolist(),
        "zero_point": zero.reshape(-1).tolist(),
    }


def _requantized(path: Path, module: Any, example_inputs: Any) -> Any:
    """Return a float module after quantization by a recipe."""
    try:
        own = json.loads(path.read_text(encoding="utf-8"))[_OWN]
        calibration = Calibration(own["ranges"], own["means"], tuple(own["floats"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"{path} is not a recipe of this package: {type(error).__name__}: {error}"
        raise WeightsError(msg) from error
    source = TorchModel(module, example_inputs=example_inputs)
    program = edit.named(source.to_onnx())
    return source.quantized(edit.parse(calibration.quantize(edit.to_bytes(program)))).raw
