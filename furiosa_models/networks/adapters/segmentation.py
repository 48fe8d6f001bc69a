"""Adapters of networks for segmentation and mattes, whose files have folded normalization."""

from __future__ import annotations

import numpy as np

from ...errors import WeightsError
from .. import layers
from ..builders.u2net import EPSILON, convolutions
from ._arrays import Array, Arrays, folded

__all__ = ["deeplab_tflite", "selfie_tflite", "u2netp_onnx"]


def deeplab_tflite(arrays: Arrays) -> dict[str, Array]:
    """Convert TFLite files of TensorFlow's DeepLabV3, with kernels (O, kh, kw, I)."""
    adapted: dict[str, Array] = {}
    for name, array in arrays.items():
        scope, _, leaf = name.rpartition("/")
        if leaf in ("weights", "depthwise_weights"):
            adapted[name] = array.transpose(1, 2, 3, 0)
        elif name == "logits/semantic/Conv2D_bias":
            adapted[f"{scope}/biases"] = array
        elif leaf in ("Conv2D_bias", "depthwise_bias"):
            adapted |= folded(scope, layers.SLIM, array)
    return adapted


def selfie_tflite(arrays: Arrays) -> dict[str, Array]:
    """Convert TFLite files of MediaPipe's selfie segmentation, with kernels (O, kh, kw, I)."""
    adapted: dict[str, Array] = {}
    for name, array in arrays.items():
        scope, _, leaf = name.rpartition("/")
        if leaf == "Kernel":
            adapted[f"{scope}.weight"] = array
        elif leaf == "Bias":
            adapted[f"{scope}.bias"] = array
    return adapted


def u2netp_onnx(arrays: Arrays) -> dict[str, Array]:
    """Convert ONNX files of U-2-Net-p that PyTorch exported with folded normalization.

    The kernels and biases of normalized convolutions have numbers as names, which ascend in the
    order of execution.
    """
    adapted = {name: array for name, array in arrays.items() if not name.isdecimal()}
    numbered = [arrays[name] for name in sorted(set(arrays) - set(adapted), key=int)]
    scopes = convolutions("p")
    if len(numbered) != 2 * len(scopes):
        msg = f"expected {2 * len(scopes)} arrays of normalized layers, got {len(numbered)}"
        raise WeightsError(msg)
    for scope, kernel, bias in zip(scopes, numbered[::2], numbered[1::2], strict=True):
        adapted[f"{scope}.conv_s1.weight"] = kernel
        adapted[f"{scope}.conv_s1.bias"] = np.zeros_like(bias)
        adapted |= folded(f"{scope}.bn_s1", layers.TORCH, bias, EPSILON)
    return adapted
