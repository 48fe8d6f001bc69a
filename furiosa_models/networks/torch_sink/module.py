"""A PyTorch module that executes an ONNX graph.

Float weights are parameters; 8-bit weights and the statistics of batch normalization are buffers.
Their names are those of the initializers, with dots as levels of modules, so that the `state_dict`
of an exported network has the names of the original. Parameters that are no weights of a layer,
such as anchors, need no gradient. A pair of `QuantizeLinear` and `DequantizeLinear` rounds a
tensor. Everything is made of PyTorch's own operations, so that `torch.export` and `torch.jit.trace`
accept the module.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from ...errors import ConversionError
from .. import edit
from ..learned import learned_tensors
from .operations import OPERATIONS, SETTINGS
from .quantization import Pending

__all__ = ["GraphModule"]


class GraphModule(nn.Module):  # type: ignore[misc]  # torch has no stubs here
    """A module that executes an ONNX graph.

    In training mode, batch normalizations in `live_norms` use the statistics of the batch, and
    update the running ones; all others use the running ones, and change nothing. Only in training
    mode are there auxiliary outputs.

    Args:
        model: The graph.
        extra: Further arrays by name that a checkpoint of the network has: they are part of the
            `state_dict`, but not of the computation.
        learned: Names of the initializers that need gradients; by default those that are weights of
            layers, see `learned_tensors`.

    Attributes:
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        learned: Names of the initializers that need gradients.
        live_norms: Names of the nodes whose statistics training updates; by default none.
        auxiliary: Names of the outputs that only training needs; by default none.
        stopped: Names of the nodes whose results have no gradient; by default none.

    Raises:
        ConversionError: An operation is not supported; the message names all of them.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        extra: Mapping[str, np.ndarray[Any, Any]] | None = None,
        learned: Collection[str] | None = None,
    ) -> None:
        super().__init__()
        proto = edit.parse(model)
        edit.constants_to_initializers(proto.graph)
        _check_supported(proto)
        self.input_names = edit.get_pure_input_names(proto)
        self.output_names = edit.get_output_names(proto)
        self.learned = frozenset(learned_tensors(proto.graph) if learned is None else learned)
        self.live_norms: frozenset[str] = frozenset()
        self.auxiliary: frozenset[str] = frozenset()
        self.stopped: frozenset[str] = frozenset()
        self._constants: dict[str, Any] = {}
        self._homes: dict[str, tuple[nn.Module, str]] = {}
        settings, statistics = _settings(proto), _statistics(proto)
        for tensor in proto.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if tensor.name in settings or not array.ndim or array.dtype == np.int64:
                self._constants[tensor.name] = array.copy()  # writable, as PyTorch wants it
            else:
                self._add(tensor.name, array, is_buffer=tensor.name in statistics)
        for name, array in (extra or {}).items():
            if name not in self._homes and name not in self._constants:
                self._add(name, array, is_buffer=True)
        self._nodes = [_Node(node) for node in proto.graph.node]

    def forward(self, *inputs: Any) -> Any:
        """Return the output, or a tuple if there are several.

        Args:
            inputs: Tensors, in the order of `input_names`.
        """
        values: dict[str, Any] = dict(zip(self.input_names, inputs, strict=True))
        values[""] = None
        for node in self._nodes:
            arguments = [values[n] if n in values else self._constant(n) for n in node.inputs]
            is_live = self.training and node.name in self.live_norms
            options = {"training": True} if is_live else {}
            results = node.function(*arguments, **node.attributes, **options)
            if is_live:
                self._count_batch(node)
            results = results if isinstance(results, tuple) else (results,)
            if node.name in self.stopped:
                results = tuple(result.detach() for result in results)
            values.update(zip(node.outputs, results, strict=False))
        left_out = () if self.training else self.auxiliary
        names = [name for name in self.output_names if name not in left_out]
        outputs = tuple(_finished(values[name]) for name in names)
        return outputs[0] if len(outputs) == 1 else outputs

    @property
    def norms(self) -> dict[str, tuple[str, ...]]:
        """Names of the parameters of each batch normalization: scale, bias, mean, variance."""
        nodes = [node for node in self._nodes if node.type == "BatchNormalization"]
        return {node.name: tuple(node.inputs[1:]) for node in nodes}

    def tensor(self, name: str) -> Any:
        """Return the parameter or buffer of an initializer."""
        module, leaf = self._homes[name]
        return getattr(module, leaf)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the parameters and buffers as arrays by the name of their initializer."""
        return {name: self.tensor(name).detach().cpu().numpy().copy() for name in self._homes}

    def _count_batch(self, node: _Node) -> None:
        """Count a batch for a normalization, as PyTorch's own modules do."""
        name = f"{node.inputs[3].rpartition('.')[0]}.num_batches_tracked"
        if name in self._homes:
            self.tensor(name).add_(1)

    def _constant(self, name: str) -> Any:
        return self.tensor(name) if name in self._homes else self._constants[name]

    def _add(self, name: str, array: np.ndarray[Any, Any], *, is_buffer: bool) -> None:
        """Add an initializer as a parameter or, if it has integers, as a buffer."""
        *path, leaf = name.split(".")
        module: Any = self
        for part in path:
            if part and isinstance(module, nn.Module) and not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = getattr(module, part, None)  # of whatever has that name already
        if not isinstance(module, nn.Module) or not leaf or hasattr(module, leaf):
            module, leaf = self, f"initializer/{name.replace('.', '/')}"
        tensor = torch.from_numpy(array.copy())
        if tensor.is_floating_point() and not is_buffer:
            parameter = nn.Parameter(tensor, requires_grad=name in self.learned)
            module.register_parameter(leaf, parameter)
        else:
            module.register_buffer(leaf, tensor)
        self._homes[name] = module, leaf


class _Node:
    """An operation with its attributes as Python values."""

    def __init__(self, node: onnx.NodeProto) -> None:
        self.type = node.op_type
        self.name = node.name or node.output[0]
        self.function = OPERATIONS[node.op_type]
        self.inputs: Sequence[str] = list(node.input)
        self.outputs: Sequence[str] = list(node.output)
        self.attributes = {a.name: _attribute(a) for a in node.attribute}
        if node.op_type == "Split":
            self.attributes["count"] = len(node.output)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "function"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self.function = OPERATIONS[self.type]  # some are closures, which cannot be pickled


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value


def _finished(value: Any) -> Any:
    """Return an output as a tensor."""
    if isinstance(value, Pending):
        return value.integers()
    if isinstance(value, torch.Tensor):
        return value
    return torch.as_tensor(value)


def _settings(model: onnx.ModelProto) -> set[str]:
    """Return the names of the tensors that are settings of operations."""
    return {
        node.input[place]
        for node in model.graph.node
        for place in SETTINGS.get(node.op_type, ())
        if place < len(node.input)
    }


def _statistics(model: onnx.ModelProto) -> set[str]:
    """Return the names of the running means and variances of batch normalizations."""
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    return {name for node in norms for name in node.input[3:5]}


def _check_supported(model: onnx.ModelProto) -> None:
    unknown: dict[str, str] = {}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATIONS:
            unknown.setdefault(node.op_type, node.name or node.output[0])
    if unknown:
        found = ", ".join(f"{kind} ({name!r})" for kind, name in sorted(unknown.items()))
        msg = f"operations without a PyTorch form here: {found}; known: {', '.join(OPERATIONS)}"
        raise ConversionError(msg)
