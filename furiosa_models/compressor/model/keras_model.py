"""Keras models, for the backend `itex`."""

from __future__ import annotations

from .base_model import BaseModel

__all__ = ["KerasModel"]


class KerasModel(BaseModel):
    """A Keras model."""

    @property
    def input_node_names(self) -> list[str]:
        """Names of the inputs."""
        return self.source.input_names

    @property
    def output_node_names(self) -> list[str]:
        """Names of the outputs."""
        return self.source.output_names

    def framework(self) -> str:
        """Return `keras`."""
        return "keras"
