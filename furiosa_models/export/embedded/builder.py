"""Builder of ONNX graphs: nodes, shared constants, loops and branches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...networks import edit
from .values import Operand, Value

__all__ = ["Builder"]

_AXES_ARE_INPUTS = 18  # since this opset, for reductions other than ReduceSum


class Builder:
    """Builder of a graph. Its values have operators that add nodes; see `Value`.

    Args:
        opset: Version of the standard operations, at least 13.
    """

    def __init__(self, opset: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._opset = opset
        self._constants: dict[tuple[Any, ...], onnx.TensorProto] = {}
        self._numbers = itertools.count()
        self._stage = ""

    @property
    def constants(self) -> list[onnx.TensorProto]:
        """The constants that the nodes and their bodies take."""
        taken = {name for node in self.nodes for name in edit.taken_names(node)}
        return [constant for constant in self._constants.values() if constant.name in taken]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Give the nodes that are added meanwhile names that begin with that of the stage."""
        outer, self._stage = self._stage, f"{name}/"
        yield
        self._stage = outer

    def value(self, name: str, dtype: npt.DTypeLike) -> Value:
        """Return the value of this name, which is an input or a tensor of the network."""
        return Value(self, name, dtype)

    def constant(self, value: Any, dtype: npt.DTypeLike | None = None) -> Value:
        """Return a constant; equal ones are stored once."""
        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(array, name)
        return Value(self, self._constants[key].name, array.dtype)

    def shape(self, *sizes: int | Value) -> Value:
        """Return int64 lengths as one vector."""
        if not any(isinstance(size, Value) for size in sizes):
            return self.constant(sizes, np.int64)
        vectors = [
            size.reshape(1) if isinstance(size, Value) else self.constant([size], np.int64)
            for size in sizes
        ]
        return vectors[0] if len(vectors) == 1 else self.concat(vectors)

    def range(self, stop: Value, dtype: npt.DTypeLike = np.int64) -> Value:
        """Return the whole numbers from 0 to before `stop`, an int64 scalar."""
        zero, one = (self.constant(number, np.int64) for number in (0, 1))
        return self.op("Range", zero, stop, one, dtype=np.int64).cast(dtype)

    def concat(self, values: Sequence[Value], axis: int = 0) -> Value:
        """Join tensors along an axis."""
        return self.op("Concat", *values, dtype=values[0].dtype, axis=axis)

    def stack(self, values: Sequence[Value]) -> Value:
        """Join vectors of one length as the columns of a table."""
        return self.concat([value.reshape(-1, 1) for value in values], axis=1)

    def grouped(self, numbers: Value) -> Value:
        """Return the places of ascending whole numbers; equal ones keep their order.

        The keys are distinct, because not every runtime sorts equal ones in order.
        """
        count = numbers.size(0)
        keys = numbers.cast(np.int64) * count + self.range(count)
        return keys.order(descending=False)

    def reduce(self, kind: str, value: Value, axis: int) -> Value:
        """Reduce an axis, which stays with length 1."""
        if self._opset >= _AXES_ARE_INPUTS:
            return self.op(kind, value, self.shape(axis), dtype=value.dtype)
        return self.op(kind, value, dtype=value.dtype, axes=[axis])

    def op(self, kind: str, *inputs: Operand, dtype: npt.DTypeLike, **attributes: Any) -> Value:
        """Add a node with one result."""
        (result,) = self.ops(kind, *inputs, dtypes=[dtype], **attributes)
        return result

    def ops(
        self, kind: str, *inputs: Operand, dtypes: Sequence[npt.DTypeLike], **attributes: Any
    ) -> list[Value]:
        """Add a node with several results.

        Args:
            kind: Type of the operation.
            inputs: Its inputs; lists of integers are int64.
            dtypes: Element types of the results.
            attributes: Its attributes.
        """
        values = [i if isinstance(i, Value) else self.constant(i) for i in inputs]
        name = f"{self._stage}{kind}_{next(self._numbers)}"
        names = [name, *(f"{name}/{i}" for i in range(1, len(dtypes)))]
        inner = [value.name for value in values]
        self.nodes.append(helper.make_node(kind, inner, names, name, **attributes))
        return [Value(self, *pair) for pair in zip(names, dtypes, strict=True)]

    def rename(self, value: Value, name: str) -> Value:
        """Give a value a name, such as that of an output."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name], f"{name}/name"))
        return Value(self, name, value.dtype)

    def loop(
        self,
        body: Callable[..., tuple[Value, ...]],
        *state: Value,
        count: Value,
        going: Value | None = None,
    ) -> list[Value]:
        """Repeat a body, and return the last state.

        Args:
            body: Takes the number of the round, whether to go on, and the state; returns whether to
                go on and the new state, whose shapes may change.
            state: The first state.
            count: Maximum number of rounds, an int64 scalar.
            going: Whether to begin; by default always.
        """
        name = f"{self._stage}Loop_{next(self._numbers)}/body"
        number, goes = self.value(f"{name}/number", np.int64), self.value(f"{name}/goes", bool)
        inner = [self.value(f"{name}/state_{i}", v.dtype) for i, v in enumerate(state)]
        with self._body() as nodes:
            outputs = body(number, goes, *inner)
            graph = self._graph(name, nodes, [number, goes, *inner], outputs)
        start = self.constant(True) if going is None else going
        dtypes = [value.dtype for value in state]
        return self.ops("Loop", count, start, *state, dtypes=dtypes, body=graph)

    def choose(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """Return the result of one of two branches; only that one runs."""
        branches: dict[str, onnx.GraphProto] = {}
        dtype: np.dtype[Any] = np.dtype(bool)
        for part, branch in (("then_branch", yes), ("else_branch", no)):
            name = f"{self._stage}If_{next(self._numbers)}/{part}"
            with self._body() as nodes:
                result = branch()
                branches[part] = self._graph(name, nodes, [], [result])
                dtype = result.dtype
        return self.op("If", condition, dtype=dtype, **branches)

    @contextmanager
    def _body(self) -> Iterator[list[onnx.NodeProto]]:
        """Collect the nodes that are added meanwhile, instead of adding them to the graph."""
        outer, self.nodes = self.nodes, []
        yield self.nodes
        self.nodes = outer

    def _graph(
        self,
        name: str,
        nodes: list[onnx.NodeProto],
        inputs: Sequence[Value],
        outputs: Sequence[Value],
    ) -> onnx.GraphProto:
        """Return a body; an output must be computed in it, so each has a name of its own."""
        named = [self.rename(value, f"{name}/result_{i}") for i, value in enumerate(outputs)]
        taken, given = [*map(_info, inputs)], [*map(_info, named)]
        # The number of a round and its condition are scalars; the shapes of states are not fixed.
        for info in (*taken[:2], *given[: bool(inputs)]):
            info.type.tensor_type.shape.SetInParent()
        return helper.make_graph(nodes, name, taken, given)


def _info(value: Value) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(value.name, kind, None)
