"""Configurations of Focoos' families of networks as specifications of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ModelNotFound, WeightsError
from .heads import ClassificationHead
from .model_info import ModelInfo
from .networks import edit
from .networks.stdc import SIZES
from .spec import ImageInput, ModelSpec, NetworkSpec

__all__ = ["CLASSIFIER_KEYS", "fai_cls_spec", "with_sigmoid"]

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_BLOCK = {"block_num": 4, "block_type": "cat"}

CLASSIFIER_KEYS = (
    "backbone_config",
    "dense_prediction",
    "dropout_rate",
    "features",
    "focal_alpha",
    "focal_gamma",
    "hidden_dim",
    "label_smoothing",
    "num_layers",
    "pixel_mean",
    "pixel_std",
    "pos_weight",
    "resolution",
    "use_focal_loss",
)
"""Keys of the configuration of `fai_cls`, except for the number of classes."""


def fai_cls_spec(info: ModelInfo) -> ModelSpec:
    """Return the specification of a classifier of Focoos: multi-label, of a stretched photo.

    Raises:
        ModelNotFound: The backbone is not built here.
        WeightsError: A key of the configuration is unknown.
    """
    config = info.config
    known = (*CLASSIFIER_KEYS, "num_classes")
    if unknown := [key for key in config if key not in known]:
        msg = f"fai_cls has no {', '.join(unknown)} in its config; it has {', '.join(known)}"
        raise WeightsError(msg)
    if config.get("dense_prediction"):
        msg = "fai_cls with dense_prediction is not built here"
        raise ModelNotFound(msg)
    params = {
        "size": _size_of(config.get("backbone_config") or {}),
        "num_classes": len(info.classes),
        "features": config.get("features", "res5"),
        "num_layers": config.get("num_layers", 1),
        "hidden_dim": config.get("hidden_dim", 512),
        "image_size": info.size,
        "sigmoid": True,
    }
    mean, std = config.get("pixel_mean") or _MEAN, config.get("pixel_std") or _STD
    placed = ImageInput(info.size, mean=tuple(map(float, mean)), std=tuple(map(float, std)))  # type: ignore[arg-type]
    head = ClassificationHead(activation="none")
    return ModelSpec(NetworkSpec("fai_cls", params), placed, head, tuple(info.classes))


def with_sigmoid(origin: bytes) -> bytes:
    """Return an export of `fai_cls`, which ends in logits, with a sigmoid at its end.

    Raises:
        WeightsError: It is not ONNX, or has several outputs.
    """
    from onnx import helper

    model = edit.parse(origin)
    if len(model.graph.output) != 1:
        msg = f"expected the logits of fai_cls, got {len(model.graph.output)} outputs"
        raise WeightsError(msg)
    output = model.graph.output[0]
    scores = edit.unused_name("scores", model.graph)
    model.graph.node.append(helper.make_node("Sigmoid", [output.name], [scores], scores))
    output.name = scores
    return edit.to_bytes(model)


def _size_of(backbone: Mapping[str, Any]) -> str:
    """Return the size of a backbone, which the configuration names or describes.

    Raises:
        ModelNotFound: It is not an STDC that is built here.
    """
    kind = backbone.get("model_type", "stdc")
    given = {name: backbone.get(name, value) for name, value in _BLOCK.items()}
    size = backbone.get("size")
    if size is None:
        base, layers = backbone.get("base", 64), tuple(backbone.get("layers", (4, 5, 3)))
        size = next((name for name, found in SIZES.items() if found == (base, layers)), None)
    if kind != "stdc" or size not in SIZES or given != _BLOCK:
        msg = (
            f"the backbone {dict(backbone)} is not built here: expected model_type 'stdc' of size "
            f"{', '.join(SIZES)}"
        )
        raise ModelNotFound(msg)
    return str(size)
