"""Adapter of ResNet from Keras."""

from __future__ import annotations

import re

from .. import layers
from ._arrays import Array, Arrays

__all__ = ["resnet_tfjs"]


def resnet_tfjs(arrays: Arrays) -> dict[str, Array]:
    """Convert the TF.js layers model of Keras' ResNet, with kernels (kh, kw, I, O) and biases.

    A bias before a normalization shifts the mean of its input, so it is subtracted from the mean.
    The first kernel expects BGR. Its channels are reversed, because the networks expect RGB.
    """
    adapted: dict[str, Array] = {}
    for name, array in arrays.items():
        scope, _, leaf = name.partition("/")
        if scope == "fc1000":
            adapted[{"kernel": "fc.weight", "bias": "fc.bias"}[leaf]] = array.T
        elif leaf == "kernel":
            adapted[f"{_resnet_unit(scope, 'res')[0]}.weight"] = array.transpose(3, 2, 0, 1)
        elif leaf != "bias":
            adapted[f"{_resnet_unit(scope, 'bn')[1]}{_KERAS_NORM[leaf]}"] = array
    for name in [name for name in arrays if name.endswith("/bias") and not name.startswith("fc")]:
        norm = _resnet_unit(name.removesuffix("/bias"), "res")[1]
        adapted[f"{norm}.running_mean"] = adapted[f"{norm}.running_mean"] - arrays[name]
    adapted["conv1.weight"] = adapted["conv1.weight"][:, ::-1]
    return adapted


_KERAS_NORM = dict(
    zip(("gamma", "beta", "moving_mean", "moving_variance"), layers.TORCH, strict=True)
)


def _resnet_unit(scope: str, prefix: str) -> tuple[str, str]:
    """Return PyTorch's names of a convolution and its normalization for a Keras scope."""
    if scope.endswith("conv1"):
        return "conv1", "bn1"
    match = re.fullmatch(rf"{prefix}(\d)([a-z])_branch(?:1|2([a-c]))", scope)
    if not match:
        msg = f"{scope!r} is not a layer of a ResNet"
        raise ValueError(msg)
    block = f"layer{int(match[1]) - 1}.{ord(match[2]) - ord('a')}"
    if match[3] is None:
        return f"{block}.downsample.0", f"{block}.downsample.1"
    position = ord(match[3]) - ord("a") + 1
    return f"{block}.conv{position}", f"{block}.bn{position}"
