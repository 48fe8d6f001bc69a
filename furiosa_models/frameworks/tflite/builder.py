"""ONNX nodes and constants under construction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...errors import ConversionError
from ...networks.onnx_sink import IR_VERSION, OPSET
from ...networks.readers._raw import Budget
from ..base import Array

__all__ = ["Builder", "element_type"]


class Builder:
    """An ONNX graph under construction, whose nodes are named after their first output.

    Args:
        reserved: Names of the file's tensors, which only these take.
        budget: Budget for the elements of the constants.
    """

    def __init__(self, reserved: Iterable[str], budget: Budget) -> None:
        self._names = {*reserved}
        self._budget = budget
        self._nodes: dict[str, tuple[onnx.NodeProto, int]] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output: `name`, made unique."""
        return self.add_many(kind, inputs, name, 1, **attributes)[0]

    def add_many(
        self, kind: str, inputs: Sequence[str], name: str, count: int, **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs, and return their names."""
        outputs = [self._unique(name) for _ in range(count)]
        node = helper.make_node(kind, inputs, outputs, outputs[0], **attributes)
        self._nodes.update((output, (node, i)) for i, output in enumerate(outputs))
        return outputs

    def constant(self, array: Array, name: str, *, own: bool = False) -> str:
        """Return the name of a constant; equal ones are stored once.

        Args:
            array: Its elements.
            name: Its name, made unique.
            own: Whether it is the tensor of the file that has this name.
        """
        array = np.asarray(array, order="C")
        self._budget.take(array.nbytes, name)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = name if own else self._unique(name)
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def rename(self, old: str, new: str, *, own: bool = False) -> str:
        """Rename the output of a node that no other node uses yet, and return the new name.

        Args:
            old: Its name.
            new: The new name, made unique.
            own: Whether it is the tensor of the file that has this name.
        """
        new = new if own else self._unique(new)
        node, index = self._nodes.pop(old)
        node.output[index] = new
        node.name = node.output[0]
        self._nodes[new] = node, index
        return new

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        name: str,
    ) -> onnx.ModelProto:
        """Return the finished model; nodes and constants that no output needs are left out."""
        nodes = list({id(node): node for node, _ in self._nodes.values()}.values())
        needed = {output.name for output in outputs}
        kept = []
        for node in reversed(nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        constants = [tensor for tensor in self._initializers if tensor.name in needed]
        graph = helper.make_graph(kept[::-1], name, inputs, outputs, constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="furiosa_models"
        )

    def _unique(self, name: str) -> str:
        chosen = name
        while chosen in self._names:
            self._count += 1
            chosen = f"{name}_{self._count}"
        self._names.add(chosen)
        return chosen


def element_type(dtype: str, name: str) -> int:
    """Return the number of a type of elements in ONNX.

    Raises:
        ConversionError: ONNX has no such type; the message has the name of the tensor.
    """
    try:
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    except (TypeError, KeyError, ValueError):
        msg = f"{name} has elements of {dtype}, which cannot be converted"
        raise ConversionError(msg) from None
