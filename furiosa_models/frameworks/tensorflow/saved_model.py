"""SavedModels of TensorFlow 1 and 2, and models in memory whose saved form is one."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ...output import new_folder
from ..base import Array, Inputs, feed_by_name
from .framework import first_line, quiet, tensorflow
from .freezing import freeze
from .frozen import FrozenGraph, as_graph, as_tensor, call
from .model import TensorFlowModel
from .saving import save_as_saved_model
from .wire import Facts, read_file, saved_model_facts

__all__ = ["SIGNATURE", "ExportedModel", "FrozenModel", "SavedModelModel", "is_saved_model"]

SIGNATURE = "serving_default"
"""Name of the signature of an exported model."""

_FILE = "saved_model.pb"
_PARTS = ("assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb", _FILE, "variables")


def is_saved_model(folder: Path) -> bool:
    """Return whether a path is a folder with a SavedModel."""
    return (folder / _FILE).is_file()


class SavedModelModel(TensorFlowModel):
    """A SavedModel.

    Names of inputs and outputs are those of its signature. Its saved form is a SavedModel, which
    `tf.saved_model.load` and `keras.layers.TFSMLayer` read.

    Args:
        folder: The folder of the SavedModel.
        form: Form of the model; by default `TF2 SavedModel` or `TF1 SavedModel`.
        signature: Name of the signature; by default `serving_default`, or the only one.
    """

    def __init__(
        self, folder: Path, *, form: str | None = None, signature: str | None = None
    ) -> None:
        super().__init__(form or "")
        self._folder = folder
        self._signature = signature
        if form is None:
            self.form = self.facts.form

    @property
    def folder(self) -> Path:
        """The folder of the SavedModel."""
        return self._folder

    @cached_property
    def _read(self) -> tuple[str, Facts]:
        """Name and facts of the signature."""
        path = self.folder / _FILE
        return saved_model_facts(read_file(path), str(path), self._signature)

    @cached_property
    def facts(self) -> Facts:
        """Inputs, outputs and operations of the signature, read without TensorFlow.

        A SavedModel does not keep the order of inputs and outputs. It is that of the model, if it
        is in memory, else that of the names.
        """
        facts = self._read[1]
        return replace(
            facts,
            inputs=_sorted(facts.inputs, self._declared_inputs()),
            outputs=_sorted(facts.outputs, self._declared_outputs()),
        )

    def _declared_inputs(self) -> list[str]:
        """Return the names of the inputs in their order, if the model says it."""
        return []

    def _declared_outputs(self) -> list[str]:
        """Return the names of the outputs in their order, if the model says it."""
        return []

    @property
    def signature(self) -> str:
        """Name of the signature."""
        return self._read[0]

    @cached_property
    def loaded(self) -> Any:
        """What `tf.saved_model.load` returns.

        Raises:
            ConversionError: TensorFlow cannot load it.
            ExtraRequired: TensorFlow is not installed.
        """
        tf = tensorflow(f"loading {self.folder}")
        with quiet():
            try:
                return tf.saved_model.load(str(self.folder))
            except Exception as error:  # TensorFlow raises errors of many types
                msg = f"TensorFlow cannot load {self.folder}: {first_line(error)}"
                raise ConversionError(msg) from error

    @property
    def raw(self) -> Any:
        """The object of `tf.saved_model.load`.

        Raises:
            ConversionError: TensorFlow cannot load it.
            ExtraRequired: TensorFlow is not installed.
        """
        return self.loaded

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of the signature, or of the tensors set as outputs.

        Raises:
            ConversionError: TensorFlow cannot load it.
            ExtraRequired: TensorFlow is not installed.
            ShapeError: The inputs do not fit.
        """
        if self._is_graph():
            return super().run(inputs)
        feed = feed_by_name(inputs, self.input_names)
        function = self.loaded.signatures[self.signature]
        specs = function.structured_input_signature[1]
        given = {name: as_tensor(feed[name], specs[name], name) for name in feed}
        outputs = call(function, **given)
        by_name = dict(zip(sorted(function.structured_outputs), outputs, strict=True))
        return [by_name[name] for name in self.output_names]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the SavedModel to a new folder: a copy, or the graph between the set tensors.

        `tf.saved_model.load` and `keras.layers.TFSMLayer` read it.

        Raises:
            ConversionError: The model cannot be exported.
            FuriosaModelsError: The folder exists and is not empty, or cannot be written.
        """
        target = Path(path)
        if self._is_graph():
            graph = self.frozen
            with new_folder(target) as partial:
                save_as_saved_model(graph, partial, self.signature)
            return target
        source = self.folder
        with new_folder(target) as partial:
            for part in _PARTS:
                if (source / part).is_dir():
                    shutil.copytree(source / part, partial / part)
                elif (source / part).is_file():
                    shutil.copyfile(source / part, partial / part)
        return target

    def _is_graph(self) -> bool:
        """Return whether the model is its frozen graph, since other inputs or outputs are set."""
        return self._inputs is not None or self._outputs is not None

    def _freeze(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> FrozenGraph:
        graph = freeze(self.loaded.signatures[self.signature], outputs)
        tensors = {name: graph.inputs.get(name, tensor) for name, tensor in inputs.items()}
        chosen = FrozenGraph(graph.graph_def, tensors, graph.outputs)
        as_graph(chosen)  # freezing may have removed tensors that were set as inputs or outputs
        return chosen

    def _from_frozen(self, graph: FrozenGraph) -> TensorFlowModel:
        return FrozenModel(graph, self.signature, self.form)


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


def _sorted(tensors: Mapping[str, str], names: list[str]) -> Mapping[str, str]:
    """Return tensors in the order of names, if these are their names."""
    return {name: tensors[name] for name in names} if tensors.keys() == {*names} else tensors
