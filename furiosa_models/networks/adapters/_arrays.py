"""Shared code of the adapters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import layers
from ..weights import Array

__all__ = ["Array", "Arrays", "folded"]

Arrays = Mapping[str, Array]


def folded(
    scope: str,
    names: tuple[str, str, str, str],
    bias: Array,
    epsilon: float = layers.TENSORFLOW_EPSILON,
) -> dict[str, Array]:
    """Return the parameters of a batch normalization that only adds a bias.

    Args:
        scope: Prefix of the parameters' names.
        names: Suffixes of gamma, beta, mean and variance.
        bias: Bias, (channels,).
        epsilon: Constant that the network adds to the variance.
    """
    one = np.ones_like(bias)
    values = (one, bias, np.zeros_like(bias), one - np.float32(epsilon))
    return {f"{scope}{name}": value for name, value in zip(names, values, strict=True)}
