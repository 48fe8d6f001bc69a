"""TensorFlow models: graphs, SavedModels and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base_model import BaseModel

__all__ = ["TensorflowBaseModel", "TensorflowCheckpointModel", "TensorflowSavedModelModel"]


class TensorflowBaseModel(BaseModel):
    """A TensorFlow graph."""

    @property
    def graph_def(self) -> Any:
        """The frozen `GraphDef`."""
        return self._source.graph_def

    @property
    def graph(self) -> Any:
        """The frozen graph as `tf.Graph`."""
        return self._source.graph

    @property
    def sess(self) -> Any:
        """A session of the graph."""
        return self._source.sess

    @property
    def _source(self) -> Any:
        return self.source

    @property
    def input_tensor_names(self) -> list[str]:
        """Names of the inputs; may be set."""
        return self.source.input_names

    @input_tensor_names.setter
    def input_tensor_names(self, names: Sequence[str]) -> None:
        if names:
            self.source.input_names = names

    @property
    def output_tensor_names(self) -> list[str]:
        """Names of the outputs; may be set."""
        return self.source.output_names

    @output_tensor_names.setter
    def output_tensor_names(self, names: Sequence[str]) -> None:
        if names:
            self.source.output_names = names

    @property
    def input_node_names(self) -> list[str]:
        """Names of the inputs without the number of the output."""
        return [name.partition(":")[0] for name in self.source.input_names]

    @property
    def output_node_names(self) -> list[str]:
        """Names of the outputs without the number of the output."""
        return [name.partition(":")[0] for name in self.source.output_names]

    @property
    def input_tensor(self) -> list[Any]:
        """The inputs as tensors of `graph`."""
        return [self.graph.get_tensor_by_name(_numbered(n)) for n in self.source.input_names]

    @property
    def output_tensor(self) -> list[Any]:
        """The outputs as tensors of `graph`."""
        return [self.graph.get_tensor_by_name(_numbered(n)) for n in self.source.output_names]

    def framework(self) -> str:
        """Return `tensorflow`."""
        return "tensorflow"

    def _default_path(self) -> Path:
        return Path(self.workspace_path) / "save.pb"


class TensorflowSavedModelModel(TensorflowBaseModel):
    """A SavedModel, or a Keras model, which is saved as one."""

    def get_all_weight_names(self) -> list[str]:
        """Return the names of the weights: constants of the frozen graph that operations take."""
        return list(self._source.weights)

    def get_weight(self, tensor_name: str) -> Any:
        """Return a weight as an array.

        Raises:
            KeyError: There is no such weight.
        """
        return self._source.weights[tensor_name]

    def _default_path(self) -> Path:
        return Path(self.workspace_path)


class TensorflowCheckpointModel(TensorflowBaseModel):
    """A checkpoint of TensorFlow 1."""


def _numbered(name: str) -> str:
    return name if ":" in name else f"{name}:0"
