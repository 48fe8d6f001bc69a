"""What the arrays of a checkpoint tell: where its state is, and parameters of the network."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["InferredParams", "params_of", "state_of"]

_YOLOV5_PREDICTOR = re.compile(r"^(model\.\d+)\.m\.0\.weight$")
_YOLOV5_ANCHORS = 3
_CLASSIFIERS = frozenset({"efficientnet", "efficientnet_v2", "mobilenet_v2", "resnet"})
_CLASSIFIER_LAYERS = ("fc.weight", "_fc.weight", "classifier.weight", "classifier.1.weight")
_SLIM_PREDICTOR = "BoxPredictor_0/ClassPredictor/weights"
_SLIM_ANCHORS = 3
_CLASS_LAYERS = {
    "dfine": ("decoder.enc_score_head.weight",),
    "maskformer": ("head.predictor.forward_prediction_heads.classifier.weight",),
    "rtdetr": ("decoder.enc_score_head.weight", "head.predictor.enc_score_classifier.weight"),
    "yolox": ("head.cls_preds.0.weight",),
}
"""Layers of detectors and mask networks that have an output for each class."""
_WITH_NO_OBJECT = frozenset({"maskformer"})
"""Networks with one more output, for no object."""


class InferredParams(NamedTuple):
    """Parameters inferred from a checkpoint.

    Attributes:
        params: Keyword arguments of the network's builder.
        head: Fields of the head.
    """

    params: Mapping[str, Any]
    head: Mapping[str, Any]


def state_of(
    arrays: Mapping[str, npt.NDArray[Any]], names: Collection[str]
) -> Mapping[str, npt.NDArray[Any]]:
    """Return the state of a network among the arrays of a checkpoint, under the network's names.

    Programs wrap a state in others (`model`, `state_dict`, `module`), beside that of the optimizer.
    The wrapper is the prefix with which most names of the network are found.

    Args:
        arrays: Arrays of a file by name.
        names: Names of the network's parameters.
    """
    last = min(names, default="")
    wrappers = {name.removesuffix(last) for name in arrays if name.endswith(last)}
    found = {prefix: sum(prefix + name in arrays for name in names) for prefix in sorted(wrappers)}
    best = max(found, key=lambda prefix: found[prefix], default="")
    if not best or found[best] <= found.get("", 0):
        return arrays
    return {
        name.removeprefix(best): array for name, array in arrays.items() if name.startswith(best)
    }


def params_of(network: str, arrays: Mapping[str, npt.NDArray[Any]]) -> InferredParams:
    """Return the number of classes and the anchors of a checkpoint, as far as they are known.

    Args:
        network: Name of the network, one of `furiosa_models.networks.NETWORKS`.
        arrays: Arrays under the parameter names of the network.
    """
    if network == "yolov5":
        return _yolov5(arrays)
    if network in _CLASSIFIERS or network in _CLASS_LAYERS:
        names = _CLASS_LAYERS.get(network, _CLASSIFIER_LAYERS)
        layers = [arrays[name] for name in names if name in arrays]
        others = int(network in _WITH_NO_OBJECT)
        params = {"num_classes": int(layers[0].shape[0]) - others} if layers else {}
        return InferredParams(params | (_rtdetr(arrays) if network == "rtdetr" else {}), {})
    if _SLIM_PREDICTOR in arrays:
        channels = int(arrays[_SLIM_PREDICTOR].shape[-1])
        return InferredParams({"num_classes": channels // _SLIM_ANCHORS}, {})
    return InferredParams({}, {})


def _yolov5(arrays: Mapping[str, npt.NDArray[Any]]) -> InferredParams:
    match = next(filter(None, map(_YOLOV5_PREDICTOR.match, arrays)), None)
    if match is None:
        return InferredParams({}, {})
    numbers, rest = divmod(int(arrays[match[0]].shape[0]), _YOLOV5_ANCHORS)
    params = {} if rest or numbers <= 5 else {"num_classes": numbers - 5}
    anchors = arrays.get(f"{match[1]}.anchors")  # in units of grid cells, as the head expects
    shape = None if anchors is None else anchors.shape
    head = {} if anchors is None or shape != (3, 3, 2) else {"anchors": np.array(anchors)}
    return InferredParams(params, head)


_RTDETR_BLOCK = re.compile(r"backbone\.res_layers\.2\.blocks\.(\d+)\.branch2([ac])\.conv\.weight")
_RTDETR_LAYER = re.compile(r"decoder\.decoder\.layers\.(\d+)\.linear1\.weight")
_RTDETR_DEPTHS = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101}
"""Depth of the backbone by the number of blocks of its third stage, and whether they have three
convolutions."""
_RTDETR_USED = {(50, 0.5): 3}
"""Number of decoder layers that the authors use of a network, if not all: `rtdetr_r50vd_m`."""


def _rtdetr(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Return the variant of a checkpoint of RT-DETR; nothing for one of another family."""
    blocks = [found for found in map(_RTDETR_BLOCK.fullmatch, arrays) if found]
    layers = [int(found[1]) for found in map(_RTDETR_LAYER.fullmatch, arrays) if found]
    projection = arrays.get("encoder.input_proj.0.0.weight")
    inner = arrays.get("encoder.pan_blocks.0.conv1.conv.weight")
    wide = arrays.get("encoder.encoder.0.layers.0.linear1.weight")
    if not blocks or not layers or projection is None or inner is None or wide is None:
        return {}
    count = 1 + max(int(found[1]) for found in blocks)
    depth = _RTDETR_DEPTHS.get((count, any(found[2] == "c" for found in blocks)))
    if depth is None:
        return {}
    expansion = inner.shape[0] / projection.shape[0]
    return {
        "variant": None,
        "backbone": depth,
        "hidden_dim": int(projection.shape[0]),
        "encoder_width": int(wide.shape[0]),
        "expansion": expansion,
        "decoder_layers": _RTDETR_USED.get((depth, expansion), 1 + max(layers)),
    }
