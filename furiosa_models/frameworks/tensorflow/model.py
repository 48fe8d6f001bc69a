"""What all models of TensorFlow share: names, conversion, and quantization, of a frozen graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import ShapeError
from ..base import Array, FrameworkModel, Inputs, feed_by_name
from .framework import tensorflow
from .frozen import FrozenGraph, as_graph, run, served
from .wire import Facts

if TYPE_CHECKING:
    import onnx

__all__ = ["TensorFlowModel", "listed"]

_LISTED = 8


class TensorFlowModel(FrameworkModel):
    """A model of TensorFlow, as its frozen graph.

    Names of inputs and outputs have no `:0`. They may be set to any tensor of the graph: `node`,
    or `node:1`.

    Attributes:
        form: Form of the model.
    """

    framework: ClassVar[str] = "tensorflow"

    def __init__(self, form: str) -> None:
        self.form = form
        self._inputs: dict[str, str] | None = None
        self._outputs: dict[str, str] | None = None

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """Inputs, outputs and operations, read without TensorFlow."""

    @abstractmethod
    def _freeze(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> FrozenGraph:
        """Return the frozen graph from inputs to outputs."""

    @abstractmethod
    def _from_frozen(self, graph: FrozenGraph) -> TensorFlowModel:
        """Return a model of the same row with another graph."""

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set to a selection of them in another order.

        Raises:
            WeightsError: The file is malformed.
            ShapeError: On setting, the graph has no such tensor.
        """
        return [*self._chosen_inputs()]

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        self._inputs = self._tensors(names, self.facts.inputs, "input")
        self._changed()

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set to those of any tensors of the graph.

        Raises:
            WeightsError: The file is malformed.
            ShapeError: On setting, the graph has no such tensor.
        """
        return [*self._chosen_outputs()]

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        self._outputs = self._tensors(names, self.facts.outputs, "output")
        self._changed()

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each operation by its name.

        Raises:
            WeightsError: The file is malformed.
        """
        return dict(self.facts.operations)

    @cached_property
    def frozen(self) -> FrozenGraph:
        """The model as a graph whose weights are constants.

        Raises:
            ConversionError: It cannot be frozen.
            ExtraRequired: TensorFlow is not installed.
        """
        return self._freeze(self._chosen_inputs(), self._chosen_outputs())

    @property
    def graph_def(self) -> Any:
        """The frozen `tf.compat.v1.GraphDef`."""
        return self.frozen.graph_def

    @cached_property
    def graph(self) -> Any:
        """The frozen graph as a `tf.Graph`."""
        return as_graph(self.frozen)

    @cached_property
    def sess(self) -> Any:
        """A `tf.compat.v1.Session` of `graph`."""
        return tensorflow("opening a session").compat.v1.Session(graph=self.graph)

    def to_onnx(self) -> onnx.ModelProto:
        """Return the model as ONNX (opset 18), float32.

        Nodes keep the names of the operations. The batch normalization after a convolution is
        part of the convolution.

        Raises:
            ConversionError: An operation cannot be converted; the message names it.
            ExtraRequired: TensorFlow or tf2onnx is not installed.
        """
        from .conversion import to_onnx

        return to_onnx(self.frozen)

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs that TensorFlow computes.

        Raises:
            ConversionError: The graph has variables without values.
            ExtraRequired: TensorFlow is not installed.
            ShapeError: The inputs do not fit.
        """
        return run(self._function, self.frozen.inputs, feed_by_name(inputs, self.input_names))

    def quantized(self, program: onnx.ModelProto) -> TensorFlowModel:
        """Return the model with `FakeQuant` operations, as a quantized program has them.

        Args:
            program: `to_onnx()` after quantization; see `FrameworkModel.quantized`.

        Raises:
            ConversionError: An operation has no quantized form in TensorFlow.
            ExtraRequired: TensorFlow is not installed.
        """
        from .fake_quant import with_fake_quant

        return self._from_frozen(with_fake_quant(self.frozen, program))

    def _chosen_inputs(self) -> Mapping[str, str]:
        return self.facts.inputs if self._inputs is None else self._inputs

    def _chosen_outputs(self) -> Mapping[str, str]:
        return self.facts.outputs if self._outputs is None else self._outputs

    @cached_property
    def _function(self) -> Any:
        return served(self.frozen)

    def _changed(self) -> None:
        for name in ("frozen", "graph", "sess", "_function"):
            self.__dict__.pop(name, None)

    def _tensors(self, names: Sequence[str], known: Mapping[str, str], kind: str) -> dict[str, str]:
        if not names:
            msg = f"expected at least one {kind}, got none"
            raise ShapeError(msg)
        return {_name(name): self._tensor(name, known, kind) for name in names}

    def _tensor(self, name: str, known: Mapping[str, str], kind: str) -> str:
        node, _, place = name.partition(":")
        if name in known:
            return known[name]
        if node in known and place in ("", "0"):
            return known[node]
        if node not in self.facts.operations or not (place or "0").isdecimal():
            msg = f"the graph has no tensor {name!r}; its {kind}s are {listed(known)}"
            raise ShapeError(msg)
        return f"{node}:{place or 0}"


def listed(texts: Iterable[str]) -> str:
    """Return texts for a message: the first of them, and the number of the others."""
    shown = [*texts]
    more = [f"and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
    return ", ".join([*shown[:_LISTED], *more]) or "none"


def _name(name: str) -> str:
    return name.removesuffix(":0")
