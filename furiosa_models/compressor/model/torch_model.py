"""PyTorch models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ...output import new_folder
from .base_model import BaseModel

__all__ = ["IPEXModel", "PyTorchBaseModel", "PyTorchFXModel", "PyTorchModel"]


class PyTorchBaseModel(BaseModel):
    """A PyTorch module; calling it calls the module."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.model(*args, **kwargs)

    @property
    def fp32_model(self) -> Any:
        """The module before quantization."""
        return self.model if self.fitted_from is None else self.fitted_from.raw

    @property
    def is_quantized(self) -> bool:
        """Whether the model is quantized."""
        return self.report is not None

    @property
    def tune_cfg(self) -> dict[str, Any] | None:
        """Settings of each quantized operation."""
        return self.q_config

    def framework(self) -> str:
        """Return `pytorch`."""
        return "pytorch"

    def get_all_weight_names(self) -> list[str]:
        """Return the names of the parameters."""
        return [name for name, _ in self.model.named_parameters()]

    def get_weight(self, tensor_name: str) -> Any:
        """Return a parameter as a tensor.

        Raises:
            KeyError: There is no such parameter.
        """
        return dict(self.model.named_parameters())[tensor_name].data

    def quantized_state_dict(self) -> dict[str, Any]:
        """Return the state of the module."""
        state: dict[str, Any] = self.model.state_dict()
        return state

    def load_quantized_state_dict(self, stat_dict: dict[str, Any]) -> None:
        """Load a state into the module."""
        self.model.load_state_dict(stat_dict)


class PyTorchModel(PyTorchBaseModel):
    """A PyTorch module."""


class PyTorchFXModel(PyTorchModel):
    """A PyTorch module."""


class IPEXModel(PyTorchBaseModel):
    """A PyTorch module for Intel's extension, which is archived and cannot be installed anymore.

    `save` writes the recipe of its quantization as JSON, in the structure that the extension read.
    `furiosa_models.compressor.utils.pytorch.load` reads it again.
    """

    def save(self, root: str | os.PathLike[str] | None = None) -> Path:
        """Write `root/best_configure.json`, and return the folder.

        Raises:
            FuriosaModelsError: The folder is not empty, or cannot be written.
        """
        from ..utils.pytorch import RECIPE, recipe_of

        target = self._default_path() if root is None else Path(root)
        with new_folder(target) as partial:
            text = json.dumps(recipe_of(self), indent=4) + "\n"
            (partial / RECIPE).write_text(text, encoding="utf-8")
        return target
