"""Modules that execute ONNX graphs, and take and return what another module does.

Importing this module imports torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any

from ...networks.torch_sink import GraphModule
from .arguments import Arguments
from .tensors import named_leaves, rebuilt

if TYPE_CHECKING:
    import onnx

__all__ = ["StructuredModule"]


class StructuredModule(GraphModule):
    """A module that executes an ONNX graph, with the arguments and outputs of another module.

    Args:
        model: The graph, whose inputs and outputs are the tensors in their order.
        parameters: Names of the positional parameters of the other module.
        arguments: Arguments of a call of the other module.
        outputs: What this call returned: a tensor, or nested sequences and mappings of tensors.

    Raises:
        ConversionError: An operation is not supported; the message names all of them.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        parameters: Sequence[str],
        arguments: Arguments,
        outputs: Any,
    ) -> None:
        super().__init__(model)
        self._positional_names = list(parameters)
        self._argument_names = arguments.names(self._positional_names)
        count = len(list(named_leaves(outputs, "")))
        self._structure = rebuilt(outputs, iter(range(count)))
        if arguments.named:
            forward = MethodType(_forward(parameters, arguments.named), self)
            object.__setattr__(self, "forward", forward)

    def forward(self, *positional: Any, **named: Any) -> Any:
        """Return the outputs in the structure of the other module's.

        Args:
            positional: Arguments by position.
            named: Arguments by name.

        Raises:
            TypeError: The arguments are not those that the other module was converted with.
        """
        return self._called(Arguments(positional, named))

    def _called(self, arguments: Arguments) -> Any:
        given = arguments.by_name(self._positional_names)
        if given.keys() != {*self._argument_names}:
            expected = ", ".join(self._argument_names)
            msg = f"the module takes the arguments {expected}, got {', '.join(given)}"
            raise TypeError(msg)
        results = super().forward(*(given[name] for name in self._argument_names))
        leaves = results if isinstance(results, tuple) else (results,)
        return rebuilt(self._structure, iter(leaves))


def _forward(parameters: Sequence[str], named: Iterable[str]) -> Callable[..., Any]:
    """Return `forward` with names in its signature, which `torch.export` needs."""

    def forward(self: StructuredModule, *positional: Any, **named: Any) -> Any:
        return self._called(Arguments(positional, named))

    kind = inspect.Parameter
    first = [name for name in parameters if name in named]
    rest = [name for name in named if name not in first]
    setattr(  # noqa: B010  # functions have no such attribute for a type checker
        forward,
        "__signature__",
        inspect.Signature(
            [
                kind("self", kind.POSITIONAL_ONLY),
                *(kind(name, kind.POSITIONAL_OR_KEYWORD) for name in first),
                *(kind(name, kind.KEYWORD_ONLY) for name in rest),
            ]
        ),
    )
    return forward
