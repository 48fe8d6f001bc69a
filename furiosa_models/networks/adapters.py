"""From names and layouts of particular files to those that the networks ask for.

A network's parameters have one set of names, those of its public checkpoint. Converted files have
the same numbers under other names, transposed, or with batch normalisation already folded in; an
adapter undoes that. Folded normalisation comes back as one that only adds the bias.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from ..errors import WeightsError
from . import batch_norm
from .options import choose
from .weights import Array

__all__ = ["LAYOUTS", "adapt"]

Arrays = Mapping[str, Array]


def adapt(layout: str, arrays: Arrays) -> dict[str, Array]:
    """`arrays` under the names and in the layouts of the public checkpoint.

    Args:
        layout: Where the arrays are from, a key of `LAYOUTS`.
        arrays: What the file holds.

    Raises:
        ModelNotFound: No layout has that name.
        WeightsError: The arrays are not from there.
    """
    adapter = choose(LAYOUTS, layout, "weights layout")
    try:
        return adapter(arrays)
    except (LookupError, ValueError) as error:
        msg = f"the weights do not have the layout {layout!r}: {error}"
        raise WeightsError(msg) from error


def _slim_fake_quant(arrays: Arrays) -> dict[str, Array]:
    """TFLite files of TensorFlow's quantisation-aware SSD checkpoints: kernels (O, kh, kw, I)."""
    adapted: dict[str, Array] = {}
    for name, array in arrays.items():
        scope, _, leaf = name.replace("MobilenetV1/MobilenetV1/", "MobilenetV1/").rpartition("/")
        if leaf == "FakeQuantWithMinMaxVars":
            scope = scope.removesuffix("/weights_quant")
            kernel = "depthwise_weights" if scope.endswith("_depthwise") else "weights"
            adapted[f"{scope}/{kernel}"] = array.transpose(1, 2, 3, 0)
        elif leaf == "Conv2D_bias":
            adapted[f"{scope}/biases"] = array
        elif leaf.endswith("_Fold_bias"):
            adapted |= _folded(scope, batch_norm.SLIM, array)
    return adapted


def _efficientnet_tfjs(arrays: Arrays) -> dict[str, Array]:
    """TF.js graph of TensorFlow's EfficientNet: kernels (kh, kw, I, O), scopes by stack.

    The converter lost the names of squeeze-and-excitation and of the classifier, and numbered
    those parameters in the order of the layers.
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
            adapted |= _folded(scopes[scope.removesuffix("_bn")][1], batch_norm.TORCH, array)
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
    """The arrays that the TF.js converter numbered, in that order."""
    matches = (re.match(r"Func/StatefulPartitionedCall/input/_(\d+)$", name) for name in arrays)
    found = sorted((int(match[1]), match[0]) for match in matches if match)
    return [arrays[name] for _, name in found]


def _torch_layout(name: str, array: Array) -> Array:
    """A TensorFlow kernel transposed to PyTorch's layout; anything else as it is."""
    if array.ndim != 4:
        transposed: Array = array.T
        return transposed
    order = (2, 3, 0, 1) if "_depthwise_conv" in name else (3, 2, 0, 1)
    return np.transpose(array, order)


def _folded(scope: str, names: tuple[str, str, str, str], bias: Array) -> dict[str, Array]:
    """Parameters of a normalisation that does nothing but add `bias`."""
    one = np.ones_like(bias)
    values = (one, bias, np.zeros_like(bias), one - np.float32(batch_norm.TENSORFLOW_EPSILON))
    return {f"{scope}{name}": value for name, value in zip(names, values, strict=True)}


def _native(arrays: Arrays) -> dict[str, Array]:
    """Files that have the names and layouts of the public checkpoint."""
    return dict(arrays)


LAYOUTS: dict[str, Callable[[Arrays], dict[str, Array]]] = {
    "native": _native,
    "efficientnet_tfjs": _efficientnet_tfjs,
    "slim_fake_quant": _slim_fake_quant,
}
