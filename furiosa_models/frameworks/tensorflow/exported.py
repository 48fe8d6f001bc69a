"""Models in memory whose saved form is a SavedModel."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from .frozen import FrozenGraph
from .model import TensorFlowModel
from .saved_model import SavedModelModel
from .saving import save_as_saved_model
from .wire import Facts

__all__ = ["SIGNATURE", "ExportedModel", "FrozenModel"]

SIGNATURE = "serving_default"
"""Name of the signature of an exported model."""


class ExportedModel(SavedModelModel):
    """A model in memory, as the SavedModel that it has when it is first used.

    The SavedModel is in a temporary folder, which is removed with the model.

    Args:
        form: Form of the model.
        signature: Name of the signature.
    """

    def __init__(self, form: str, signature: str = SIGNATURE) -> None:
        TensorFlowModel.__init__(self, form)
        self._signature = self._name = signature

    @cached_property
    def folder(self) -> Path:
        """The folder of the SavedModel."""
        folder = Path(tempfile.mkdtemp(prefix="furiosa-models-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._export(folder)
        return folder

    @abstractmethod
    def _export(self, folder: Path) -> None:
        """Write the SavedModel to an empty folder.

        Raises:
            ConversionError: The model cannot be exported.
        """


class FrozenModel(ExportedModel):
    """A frozen graph whose saved form is a SavedModel.

    Args:
        graph: The graph.
        signature: Name of the signature.
        form: Form of the model.
    """

    def __init__(self, graph: FrozenGraph, signature: str, form: str) -> None:
        super().__init__(form, signature)
        self._graph = graph

    @cached_property
    def _read(self) -> tuple[str, Facts]:
        operations = {node.name: node.op for node in self._graph.graph_def.node}
        facts = Facts(self._graph.inputs, self._graph.outputs, operations)
        return self._name, facts

    def _is_graph(self) -> bool:
        return True

    def _freeze(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> FrozenGraph:
        return FrozenGraph(self._graph.graph_def, dict(inputs), dict(outputs))

    def _declared_inputs(self) -> list[str]:
        return [*self._graph.inputs]

    def _declared_outputs(self) -> list[str]:
        return [*self._graph.outputs]

    def _export(self, folder: Path) -> None:
        save_as_saved_model(self._graph, folder, self._name)
