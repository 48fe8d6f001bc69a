"""Adapter of EfficientNet from TensorFlow.js."""

from __future__ import annotations

import re

import numpy as np

from .. import layers
from ._arrays import Array, Arrays, folded

__all__ = ["efficientnet_tfjs"]


def efficientnet_tfjs(arrays: Arrays) -> dict[str, Array]:
    """Convert the TF.js graph of TensorFlow's EfficientNet, with kernels (kh, kw, I, O).

    The TF.js converter removed the names of the parameters of squeeze-and-excitation and of the
    classifier; it numbered these parameters in the order of the layers.
    """
    blocks = sorted({name.rpartition("/depthwise_conv2d/")[0] for name in arrays} - {""})
    scopes = {f"{_TFJS_MODEL}/{source}": target for source, target in _TFJS_ENDS.items()}
    numbered = []
    for index, block in enumerate(blocks):
        for source, (conv, norm) in _TFJS_BLOCK.items():
            scopes[f"{block}/{source}"] = (f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}")
        numbered += [f"_blocks.{index}.{leaf}" for leaf in _TFJS_EXCITATION]
    numbered += ["_fc.weight", "_fc.bias"]
    adapted = dict(zip(numbered, _numbered(arrays), strict=True))
    for name, array in arrays.items():
        scope, _, leaf = name.rpartition("_")
        if leaf == "weights" and scope in scopes:
            adapted[f"{scopes[scope][0]}.weight"] = array
        elif name.endswith("_bn_offset"):
            adapted |= folded(scopes[scope.removesuffix("_bn")][1], layers.TORCH, array)
    return {name: _torch_layout(name, array) for name, array in adapted.items()}


_TFJS_MODEL = "StatefulPartitionedCall/model"
_TFJS_ENDS = {
    "stem_conv2d/Conv2D": ("_conv_stem", "_bn0"),
    "top_conv2d/Conv2D": ("_conv_head", "_bn1"),
}
_TFJS_BLOCK = {
    "expand_conv2d/Conv2D": ("_expand_conv", "_bn0"),
    "depthwise_conv2d/depthwise": ("_depthwise_conv", "_bn1"),
    "project_conv2d/Conv2D": ("_project_conv", "_bn2"),
}
_TFJS_EXCITATION = ("_se_reduce.weight", "_se_reduce.bias", "_se_expand.weight", "_se_expand.bias")


def _numbered(arrays: Arrays) -> list[Array]:
    """Return the arrays that the TF.js converter numbered, in the order of their numbers."""
    matches = (re.match(r"Func/StatefulPartitionedCall/input/_(\d+)$", name) for name in arrays)
    found = sorted((int(match[1]), match[0]) for match in matches if match)
    return [arrays[name] for _, name in found]


def _torch_layout(name: str, array: Array) -> Array:
    """Transpose a TensorFlow kernel to PyTorch's layout; return other arrays unchanged."""
    if array.ndim != 4:
        transposed: Array = array.T
        return transposed
    order = (2, 3, 0, 1) if "_depthwise_conv" in name else (3, 2, 0, 1)
    return np.transpose(array, order)
