"""Layers of networks whose checkpoints are PyTorch state dicts.

Kernels are in PyTorch's layouts: (out, in / groups, kh, kw), and (out, in) for linear layers.
"""

from __future__ import annotations

import math

from . import batch_norm
from .graph import Activation, Graph, Padding, Value
from .weights import Kind, Parameter, Weights

__all__ = ["TorchLayers"]

_GAINS = {"relu": 2.0, "relu6": 2.0, "swish": 2.4}


class TorchLayers:
    """Layers that take their parameters from `weights` by module name.

    Args:
        graph: Where the layers are added.
        weights: Parameters under the names of the state dict.
        epsilon: What the network's batch normalisation adds to the variance.
    """

    def __init__(self, graph: Graph, weights: Weights, epsilon: float) -> None:
        self._graph = graph
        self._weights = weights
        self._epsilon = epsilon

    def conv(
        self,
        x: Value,
        name: str,
        channels: int,
        size: int = 1,
        *,
        norm: str | None = None,
        activation: Activation | None = None,
        stride: int = 1,
        groups: int = 1,
        padding: Padding = "same",
        gain: float | None = None,
    ) -> Value:
        """Convolution with the normalisation named `norm`, or else with a bias; activation.

        `gain` is the kernel's in random weights (see `Parameter`); by default it makes up for
        what the activation takes away.
        """
        shape = (channels, x.shape[0] // groups, size, size)
        gain = gain or (_GAINS.get(activation, 1.0) if activation else 1.0)
        parameter = Parameter(f"{name}.weight", shape, fan_in=math.prod(shape[1:]), gain=gain)
        kernel = self._weights.get(parameter)
        if norm is None:
            bias = self._weights.get(Parameter(f"{name}.bias", (channels,), Kind.BIAS))
        else:
            kernel, bias = batch_norm.normalised_kernel(
                kernel, self._weights, norm, batch_norm.TORCH, self._epsilon
            )
        x = self._graph.conv(x, kernel, bias, name, stride=stride, groups=groups, padding=padding)
        return x if activation is None else self._graph.activate(x, activation, f"{name}/act")

    def linear(self, x: Value, name: str, features: int) -> Value:
        """Fully connected layer on `x` (C,)."""
        shape = (features, *x.shape)
        kernel = self._weights.get(Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=1.0))
        bias = self._weights.get(Parameter(f"{name}.bias", (features,), Kind.BIAS))
        return self._graph.gemm(x, kernel, bias, name)
