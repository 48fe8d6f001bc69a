"""PyTorch: modules, TorchScript and exported programs.

| model | recognized by | `save` writes |
|---|---|---|
| `torch.nn.Module`, `torch.export.ExportedProgram` | its class | exported program |
| TorchScript | its class, or a file with code | TorchScript |
| exported program | a file with a serialized program | exported program |

`save` writes `best_model.pt` into a new folder. The stock framework loads it with
`torch.export.load(file).module()`, or with `torch.jit.load(file)`. A quantized model is an exported
program that has int8 weights, and rounds its activations with operations of PyTorch alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .files import FILE, find_file, has_network, load
from .model import TorchModel
from .tensors import as_array

__all__ = ["FILE", "TorchModel", "as_array", "has_network", "recognize"]

_CLASSES = ("Module", "ScriptModule", "ExportedProgram")


def recognize(source: Any, **options: Any) -> TorchModel | None:
    """Return the model of a module, of an exported program, or of a file that contains one.

    A file of weights without a network is not recognized.

    Args:
        source: An object, or a path: a file, or a folder with `best_model.pt`.
        options: Options of `TorchModel`.

    Raises:
        WeightsError: A file cannot be loaded, or would execute more than operations of PyTorch.
        ExtraRequired: PyTorch is not installed.
    """
    if isinstance(source, Path):
        path = find_file(source)
        return None if path is None else TorchModel(load(path), **options)
    classes = type(source).__mro__
    if any(c.__name__ in _CLASSES and c.__module__.startswith("torch.") for c in classes):
        return TorchModel(source, **options)
    return None
