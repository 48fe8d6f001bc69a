"""Tensors as arrays, and nested inputs and outputs of modules as tensors with names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...errors import ConversionError
from ..base import Array
from .framework import torch

__all__ = ["as_array", "as_tensor", "floating_type", "named_leaves", "named_outputs", "rebuilt"]


def as_array(tensor: Any) -> Array:
    """Return a tensor, of PyTorch or of anything that numpy converts, as an array.

    bfloat16, which numpy does not have, becomes float32.
    """
    if not hasattr(tensor, "detach"):
        return np.asarray(tensor)
    detached = tensor.detach().cpu()
    if str(detached.dtype) == "torch.bfloat16":
        detached = detached.float()
    array: Array = detached.numpy()
    return array


def as_tensor(array: Array, module: Any) -> Any:
    """Return an array as a tensor on the device of a module, and in its floating type."""
    tensor = torch().from_numpy(np.array(array))
    weight = next(_weights(module), None)
    if weight is not None:
        tensor = tensor.to(weight.device)
    kind = floating_type(module)
    return tensor if kind is None or not tensor.is_floating_point() else tensor.to(kind)


def floating_type(module: Any) -> Any:
    """Return the type of the floating weights of a module; None if there are several, or none."""
    kinds = {weight.dtype for weight in _weights(module) if weight.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 else None


def _weights(module: Any) -> Iterator[Any]:
    yield from module.parameters()
    yield from module.buffers()


def named_leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of nested sequences and mappings in their order, each with a name.

    Args:
        value: The value; None has no tensors.
        name: Name of the value; those of its parts begin with it.
    """
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from named_leaves(each, f"{name}_{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from named_leaves(each, f"{name}_{number}" if name else str(number))
    elif value is not None:
        yield name, value


def rebuilt(template: Any, leaves: Iterator[Any]) -> Any:
    """Return nested sequences and mappings with other tensors; see `named_leaves`."""
    if isinstance(template, Mapping):
        return {key: rebuilt(each, leaves) for key, each in template.items()}
    if isinstance(template, (list, tuple)):
        values = [rebuilt(each, leaves) for each in template]
        return values if isinstance(template, list) else tuple(values)
    return None if template is None else next(leaves)


def named_outputs(outputs: Any) -> dict[str, Any]:
    """Return the tensors that a module returns by their names.

    A mapping has names. Other outputs are `output`, or `output_0`, `output_1` and so on.

    Raises:
        ConversionError: The module returns something else than tensors.
    """
    has_names = isinstance(outputs, Mapping)
    leaves = list(named_leaves(outputs, "" if has_names else "output"))
    for name, leaf in leaves:
        if not isinstance(leaf, (torch().Tensor, int, float)):
            msg = (
                f"the module returns a {type(leaf).__name__} as {name}: expected tensors, or "
                "sequences and mappings of tensors"
            )
            raise ConversionError(msg)
    if has_names:
        return dict(leaves)
    if len(leaves) == 1:
        return {"output": leaves[0][1]}
    return {f"output_{number}": leaf for number, (_, leaf) in enumerate(leaves)}
