"""Graphs of TensorFlow 1: frozen `.pb` files, `Graph`, `GraphDef`, and checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ...output import new_file
from .checkpoint import CheckpointFiles, frozen_checkpoint
from .frozen import FrozenGraph, as_graph, parse_graph
from .model import TensorFlowModel, listed
from .wire import Facts, check_no_variables, graph_facts, meta_facts, read_file

__all__ = ["CheckpointModel", "GraphModel"]


class GraphModel(TensorFlowModel):
    """A graph whose weights are constants.

    Its saved form is a frozen `.pb`, which `tf.compat.v1.import_graph_def` reads.

    Args:
        data: The GraphDef in the wire format.
        form: `frozen pb`, `Graph` or `GraphDef`.
        what: Name of the graph in messages, such as its path.
        input_names: Names of the inputs; by default the placeholders that the outputs need.
        output_names: Names of the outputs; by default the nodes that no other node uses.
        raw: The `tf.Graph`, if it is one.
    """

    def __init__(
        self,
        data: bytes,
        *,
        form: str,
        what: str,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        raw: Any = None,
    ) -> None:
        super().__init__(form)
        self._data = data
        self._what = what
        self._raw = raw
        if input_names is not None:
            self.input_names = [*input_names]
        if output_names is not None:
            self.output_names = [*output_names]

    @cached_property
    def facts(self) -> Facts:
        """Inputs, outputs and operations, read without TensorFlow."""
        return graph_facts(self._data, self._what)

    @property
    def raw(self) -> Any:
        """The `tf.Graph`.

        Raises:
            ExtraRequired: TensorFlow is not installed.
        """
        return self.graph if self._raw is None else self._raw

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the frozen graph to `path.pb`, and return its path.

        `tf.compat.v1.import_graph_def` reads it.

        Args:
            path: Path; the suffix `.pb` is appended unless it is there.

        Raises:
            ConversionError: The graph has variables, whose values it does not contain.
            FuriosaModelsError: The file exists, or cannot be written.
        """
        target = _with_suffix(Path(path))
        data = self._saved()
        with new_file(target) as partial:
            partial.write_bytes(data)
        return target

    def _saved(self) -> bytes:
        check_no_variables(self.facts.operations)
        return self._data

    def _chosen_inputs(self) -> Mapping[str, str]:
        """Return the inputs; by default the placeholders that the outputs need."""
        if self._inputs is not None:
            return self._inputs
        needed = self.facts.needed((self._outputs or self.facts.outputs).values())
        return {name: t for name, t in self.facts.inputs.items() if name in needed}

    def _freeze(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> FrozenGraph:
        graph_def = parse_graph(self._data, self._what)
        check_no_variables(self.facts.operations)
        graph = FrozenGraph(graph_def, dict(inputs), dict(outputs))
        as_graph(graph)  # rejects what is not a valid graph
        return graph

    def _from_frozen(self, graph: FrozenGraph) -> GraphModel:
        return GraphModel(
            graph.graph_def.SerializeToString(deterministic=True),
            form=self.form,
            what=f"the quantized {self._what}",
            input_names=[*graph.inputs.values()],
            output_names=[*graph.outputs.values()],
        )


class CheckpointModel(GraphModel):
    """A checkpoint of TensorFlow 1 with its graph: `.meta`, `.index` and data files.

    Inputs are the placeholders. The checkpoint does not say which tensors are outputs: they are
    given, or guessed if only one operation has a result that no other one uses. Its saved form is a
    frozen `.pb`.

    Args:
        files: The files.
        input_names: Names of the inputs; by default the placeholders that the outputs need.
        output_names: Names of the outputs.
    """

    def __init__(
        self,
        files: CheckpointFiles,
        *,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        self._files = files
        super().__init__(
            b"",
            form="TF1 checkpoint",
            what=str(files.prefix),
            input_names=input_names,
            output_names=output_names,
        )

    @cached_property
    def facts(self) -> Facts:
        """Inputs, candidates for outputs, and operations, read without TensorFlow."""
        return meta_facts(read_file(self._files.meta), str(self._files.meta))

    @property
    def raw(self) -> Any:
        """The frozen `tf.Graph`."""
        return self.graph

    def _saved(self) -> bytes:
        data: bytes = self.frozen.graph_def.SerializeToString(deterministic=True)
        return data

    def _chosen_outputs(self) -> Mapping[str, str]:
        """Return the outputs.

        Raises:
            ConversionError: They are not set, and there is not one obvious output.
        """
        found = super()._chosen_outputs()
        if self._outputs is None and len(found) != 1:
            candidates = listed(f"{name} ({self.graph_info[name]})" for name in found)
            msg = (
                f"{self._what} does not say its outputs: set output_names=[...]; candidates: "
                f"{candidates}"
            )
            raise ConversionError(msg)
        return found

    def _freeze(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> FrozenGraph:
        return frozen_checkpoint(self._files, inputs, outputs)


def _with_suffix(path: Path) -> Path:
    return path if path.suffix == ".pb" else path.with_name(f"{path.name}.pb")
