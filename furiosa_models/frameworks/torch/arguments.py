"""Arguments of `forward`: their names, example tensors, and the way back to a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .framework import torch
from .tensors import named_leaves, rebuilt

__all__ = ["Arguments", "parameter_names"]


class Arguments:
    """The arguments of a call of `forward`, whose tensors may be nested in sequences.

    Args:
        positional: Arguments by position.
        named: Arguments by name.
    """

    def __init__(self, positional: Sequence[Any] = (), named: Mapping[str, Any] | None = None):
        self.positional = tuple(positional)
        self.named = dict(named or {})

    @classmethod
    def of(cls, inputs: Any) -> Arguments:
        """Return the arguments for inputs: one, a sequence by position, or a mapping by name."""
        if isinstance(inputs, Mapping):
            return cls(named=inputs)
        return cls(inputs if isinstance(inputs, (list, tuple)) else (inputs,))

    @property
    def leaves(self) -> list[Any]:
        """The tensors, in their order."""
        return [leaf for _, leaf in self._pairs([])]

    def names(self, parameters: Sequence[str]) -> list[str]:
        """Return the names of the tensors.

        Args:
            parameters: Names of the positional parameters of `forward`.
        """
        return [name for name, _ in self._pairs(parameters)]

    def by_name(self, parameters: Sequence[str]) -> dict[str, Any]:
        """Return the tensors by their names; see `names`."""
        return dict(self._pairs(parameters))

    def _pairs(self, parameters: Sequence[str]) -> list[tuple[str, Any]]:
        first = [
            pair
            for number, value in enumerate(self.positional)
            for pair in named_leaves(
                value, parameters[number] if number < len(parameters) else f"input_{number}"
            )
        ]
        return [*first, *named_leaves(self.named, "")]

    def with_leaves(self, tensors: Iterable[Any]) -> Arguments:
        """Return the same arguments with other tensors."""
        rest = iter(tensors)
        return Arguments(rebuilt(self.positional, rest), rebuilt(self.named, rest))

    def call(self, module: Any) -> Any:
        """Call a module."""
        return module(*self.positional, **self.named)


def parameter_names(module: Any) -> tuple[list[str], int]:
    """Return the names of the positional parameters of `forward`, and how many have no default."""
    if isinstance(module, torch().jit.ScriptModule):
        arguments = [a for a in module.forward.schema.arguments if a.name != "self"]
        return [a.name for a in arguments], sum(not a.has_default_value() for a in arguments)
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p for p in parameters if p.kind in kinds]
    return [p.name for p in positional], sum(p.default is p.empty for p in positional)
