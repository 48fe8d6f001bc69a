"""Batch normalisation, folded into the convolution before it.

ONNX Runtime would fold it as well: sessions of SSD MobileNet v2 start and run equally fast either
way. Folding here is done in float64, and leaves two thirds of the nodes and well under half of the
tensors for quantisers, compilers and people to look at.
"""

from __future__ import annotations

import numpy as np

from .weights import FloatArray, Kind, Parameter, Weights

__all__ = ["SLIM", "TENSORFLOW_EPSILON", "TORCH", "normalised_kernel"]

TENSORFLOW_EPSILON = 0.001
"""What TensorFlow's detection networks and EfficientNets add to the variance."""

# How checkpoints name gamma, beta, mean and variance below a layer's scope.
SLIM = (
    "/BatchNorm/gamma",
    "/BatchNorm/beta",
    "/BatchNorm/moving_mean",
    "/BatchNorm/moving_variance",
)
TORCH = (".weight", ".bias", ".running_mean", ".running_var")

_KINDS = (Kind.GAMMA, Kind.BETA, Kind.MEAN, Kind.VARIANCE)


def normalised_kernel(
    kernel: FloatArray,
    weights: Weights,
    scope: str,
    names: tuple[str, str, str, str],
    epsilon: float,
) -> tuple[FloatArray, FloatArray]:
    """Kernel (O, I, kh, kw) and bias (O,) of a convolution and the normalisation behind it.

    Args:
        kernel: Kernel of the convolution, (O, I, kh, kw); it has no bias of its own.
        weights: Source of the normalisation's parameters.
        scope: Prefix of their names.
        names: Suffixes of gamma, beta, mean and variance.
        epsilon: What the checkpoint's network adds to the variance.
    """
    shape = kernel.shape[:1]
    gamma, beta, mean, variance = (
        weights.get(Parameter(f"{scope}{name}", shape, kind)).astype(np.float64)
        for name, kind in zip(names, _KINDS, strict=True)
    )
    scale = gamma / np.sqrt(variance + epsilon)
    folded = kernel.astype(np.float64) * scale[:, None, None, None]
    return folded.astype(np.float32), (beta - mean * scale).astype(np.float32)
