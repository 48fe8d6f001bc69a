"""Weights that record the requested parameters."""

from __future__ import annotations

from furiosa_models.networks.weights import FloatArray, Parameter, Weights

__all__ = ["RecordedWeights"]


class RecordedWeights:
    """Weights of another source, with a record of every requested parameter.

    Args:
        weights: The source of the values.

    Attributes:
        asked: The parameters by name, in the order of the requests.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.asked: dict[str, Parameter] = {}

    def get(self, parameter: Parameter) -> FloatArray:
        """Return the values of the other source."""
        self.asked[parameter.name] = parameter
        return self._weights.get(parameter)
