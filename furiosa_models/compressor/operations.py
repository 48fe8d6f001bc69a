"""What `op_type_dict`, `op_name_dict` and `recipes` mean for the operations of a graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from ..errors import ConfigurationError
from ..quantization.methods import CalibrationMethod
from ..quantization.quantizer import OPERATIONS
from .config import PostTrainingQuantConfig

__all__ = ["OperationSettings", "settings_of"]

_METHODS = {
    ("minmax", "asym"): CalibrationMethod.MIN_MAX_ASYM,
    ("minmax", "sym"): CalibrationMethod.MIN_MAX_SYM,
    ("kl", "asym"): CalibrationMethod.ENTROPY_ASYM,
    ("kl", "sym"): CalibrationMethod.ENTROPY_SYM,
    ("percentile", "asym"): CalibrationMethod.PERCENTILE_ASYM,
    ("percentile", "sym"): CalibrationMethod.PERCENTILE_SYM,
}
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass
class OperationSettings:
    """Settings of the operations of a graph.

    Attributes:
        floats: Names of the nodes that stay float.
        methods: Method that chooses the range of each tensor that has one of its own.
        options: Options of ONNX Runtime's quantizer.
    """

    floats: set[str] = field(default_factory=set)
    methods: dict[str, CalibrationMethod] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def settings_of(
    graph: onnx.GraphProto, conf: PostTrainingQuantConfig, names: Mapping[str, tuple[str, str]]
) -> OperationSettings:
    """Return what the settings mean for the operations of a graph.

    Args:
        graph: The graph, whose nodes are named.
        conf: The settings.
        names: Name and type of each node in the model's own framework, by its name in the graph.

    Raises:
        ConfigurationError: A name or a type is that of no operation.
    """
    settings = OperationSettings()
    overrides: dict[str, list[dict[str, Any]]] = {}
    nodes = {node.name: node for node in graph.node}
    constants = {tensor.name for tensor in graph.initializer}
    for key, chosen, operation in _matched(conf, nodes, names):
        del key
        for node in chosen:
            _apply(settings, overrides, node, operation, constants)
    settings.floats |= _left_by_recipes(list(nodes.values()), conf.recipes, constants)
    settings.options = _options(conf.recipes)
    if overrides:
        settings.options["TensorQuantOverrides"] = overrides
    return settings


def _matched(
    conf: PostTrainingQuantConfig,
    nodes: Mapping[str, onnx.NodeProto],
    names: Mapping[str, tuple[str, str]],
) -> list[tuple[str, list[onnx.NodeProto], Mapping[str, Any]]]:
    """Return each entry of the dictionaries with its nodes; names come last and take precedence."""
    found = []
    for kind, operation in (conf.op_type_dict or {}).items():
        chosen = [n for n in nodes.values() if kind in (n.op_type, names.get(n.name, ("", ""))[1])]
        found.append((kind, chosen, operation))
    for pattern, operation in (conf.op_name_dict or {}).items():
        chosen = [
            node
            for node in nodes.values()
            if any(_matches(pattern, n) for n in (node.name, names.get(node.name, ("", ""))[0]))
        ]
        found.append((pattern, chosen, operation))
    missing = [key for key, chosen, _ in found if not chosen]
    if missing:
        types = sorted({node.op_type for node in nodes.values()})
        msg = (
            f"op_type_dict, op_name_dict: {', '.join(map(repr, missing))} is no operation of the "
            f"model; its types are {', '.join(types)}, and graph_info has the names"
        )
        raise ConfigurationError(msg)
    return found


def _matches(pattern: str, name: str) -> bool:
    if pattern == name:
        return True
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error:
        return False


def _apply(
    settings: OperationSettings,
    overrides: dict[str, list[dict[str, Any]]],
    node: onnx.NodeProto,
    operation: Mapping[str, Mapping[str, Sequence[str]]],
    constants: set[str],
) -> None:
    """Add what the entry of a dictionary says about a node."""
    weight, activation = operation.get("weight", {}), operation.get("activation", {})
    kinds = [part.get("dtype", ["int8"]) for part in (weight, activation) if part]
    if kinds and all("fp32" in each[:1] for each in kinds):
        settings.floats.add(node.name)
        return
    settings.floats.discard(node.name)
    if any("fp32" in each[:1] for each in kinds):
        msg = f"{node.name!r}: expected fp32 for both weight and activation, or for none"
        raise ConfigurationError(msg)
    if weight and node.op_type in _WEIGHTED and node.input[1] in constants:
        overrides[node.input[1]] = [_weight_override(node, weight)]
    if activation:
        names = [name for name in (*node.input[:1], *node.output) if name not in constants]
        algorithm, scheme = (activation.get(key, [None])[0] for key in ("algorithm", "scheme"))
        if algorithm or scheme:
            method = _METHODS[algorithm or "percentile", scheme or "asym"]
            settings.methods.update(dict.fromkeys(names, method))
        if activation.get("dtype", ["uint8"])[0] == "int8":
            from onnxruntime.quantization import QuantType

            overrides.update({name: [{"quant_type": QuantType.QInt8}] for name in names})


def _weight_override(node: onnx.NodeProto, weight: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    from onnxruntime.quantization import QuantType

    kind = weight.get("dtype", ["int8"])[0]
    scheme = weight.get("scheme", ["sym"])[0]
    override: dict[str, Any] = {
        "quant_type": QuantType.QUInt8 if kind == "uint8" else QuantType.QInt8,
        "symmetric": scheme == "sym",
    }
    if weight.get("granularity", ["per_channel"])[0] == "per_channel":
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        override["axis"] = 0 if node.op_type == "Conv" or transposed else 1
    return override


def _left_by_recipes(
    nodes: Sequence[onnx.NodeProto], recipes: Mapping[str, Any], constants: set[str]
) -> set[str]:
    """Return the names of the nodes that recipes leave float."""
    weighted = [
        node for node in nodes if node.op_type in _WEIGHTED and constants & {*node.input[1:2]}
    ]
    if not weighted:
        return set()
    floats = set()
    if not recipes["first_conv_or_matmul_quantization"]:
        floats.add(weighted[0].name)
    if not recipes["last_conv_or_matmul_quantization"]:
        floats.add(weighted[-1].name)
    if not recipes["pre_post_process_quantization"]:
        order = {node.name: i for i, node in enumerate(nodes)}
        first, last = order[weighted[0].name], order[weighted[-1].name]
        floats |= {name for name, i in order.items() if i < first or i > last}
    return floats


def _options(recipes: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if recipes["add_qdq_pair_to_weight"]:
        options["AddQDQPairToWeight"] = True
    if recipes["dedicated_qdq_pair"]:
        options["DedicatedQDQPair"] = True
    if kinds := recipes["optypes_to_exclude_output_quant"]:
        if unknown := {*kinds} - {*OPERATIONS}:
            msg = f"optypes_to_exclude_output_quant: {', '.join(sorted(unknown))} is not quantized"
            raise ConfigurationError(msg)
        options["OpTypesToExcludeOutputQuantization"] = list(kinds)
    return options
