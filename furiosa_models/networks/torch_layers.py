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
        padding: How the network pads its convolutions.
    """

    def __init__(
        self, graph: Graph, weights: Weights, epsilon: float, *, padding: Padding = "half"
    ) -> None:
        self._graph = graph
        self._weights = weights
        self._epsilon = epsilon
        self._padding = padding

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
        padding: Padding | None = None,
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
        padding = self._padding if padding is None else padding
        x = self._graph.conv(x, kernel, bias, name, stride=stride, groups=groups, padding=padding)
        return x if activation is None else self._graph.activate(x, activation, f"{name}/act")

    def linear(self, x: Value, name: str, features: int) -> Value:
        """Fully connected layer on `x` (C,)."""
        shape = (features, *x.shape)
        kernel = self._weights.get(Parameter(f"{name}.weight", shape, fan_in=shape[1], gain=1.0))
        bias = self._weights.get(Parameter(f"{name}.bias", (features,), Kind.BIAS))
        return self._graph.gemm(x, kernel, bias, name)

    def classifier(self, x: Value, name: str, num_classes: int) -> Value:
        """Logits (num_classes,) of a fully connected layer on the means of `x` (C, H, W)."""
        means = self._graph.global_average_pool(x, f"{name}/pool")
        return self.linear(
            self._graph.reshape(means, x.shape[:1], f"{name}/flatten"), name, num_classes
        )

    def excite(self, x: Value, name: str, gates: tuple[str, str], squeezed: int) -> Value:
        """Squeeze-and-excitation: `x` with each channel scaled by a gate on all their means.

        Args:
            x: Features (C, H, W).
            name: Prefix of the nodes' names.
            gates: Names of the two layers that compute the gate, from means to `squeezed`
                channels and back.
            squeezed: Number of channels between them.
        """
        gate = self._graph.global_average_pool(x, f"{name}/squeeze")
        gate = self.conv(gate, gates[0], squeezed, activation="swish")
        gate = self.conv(gate, gates[1], x.shape[0], activation="sigmoid")
        return self._graph.multiply(x, gate, f"{name}/excite")
