"""What PyTorch and ONNX Runtime themselves make of a model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from furiosa_models.frameworks.onnx import OnnxModel


def leaves(value: Any) -> list[Any]:
    """Return the tensors of nested sequences and mappings."""
    if isinstance(value, Mapping):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, (list, tuple)):
        return [leaf for each in value for leaf in leaves(each)]
    return [] if value is None else [value]


def arrays(value: Any) -> list[Any]:
    """Return the tensors of nested sequences and mappings as arrays."""
    return [leaf.detach().numpy() for leaf in leaves(value)]


def called(module: Any, inputs: Any) -> list[Any]:
    """Return what a module returns in the mode that it has."""
    with torch.no_grad():
        if isinstance(inputs, Mapping):
            return arrays(module(**inputs))
        return arrays(module(*inputs) if isinstance(inputs, (list, tuple)) else module(inputs))


def run_onnx(model: Any, inputs: Any) -> list[Any]:
    return OnnxModel(model).run(arrays(inputs))


def program(folder: Path) -> Any:
    """Return the module in `best_model.pt`, loaded by PyTorch alone."""
    return torch.export.load(str(folder / "best_model.pt")).module()


def difference(found: Any, expected: Any) -> float:
    """Return the largest absolute difference between lists of arrays."""
    assert [array.shape for array in found] == [array.shape for array in expected]
    pairs = zip(found, expected, strict=True)
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs)


def state(module: Any) -> dict[str, Any]:
    """Return what exporting a module must not change."""
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    return {"modes": [each.training for each in module.modules()], **tensors}


def is_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) if torch.is_tensor(one[key]) else one[key] == other[key]
        for key in one
    )


@contextmanager
def same_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    assert dict(os.environ) == before
