"""Weights that record what a network asks for."""

from __future__ import annotations

from furiosa_models.networks.weights import FloatArray, Parameter, Weights

__all__ = ["RecordedWeights"]


class RecordedWeights:
    """Weights of another source, with a record of every parameter that was asked for.

    Args:
        weights: Where the values come from.

    Attributes:
        asked: The parameters by name, in the order in which the network asked for them.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.asked: dict[str, Parameter] = {}

    def get(self, parameter: Parameter) -> FloatArray:
        """The other source's values."""
        self.asked[parameter.name] = parameter
        return self._weights.get(parameter)
