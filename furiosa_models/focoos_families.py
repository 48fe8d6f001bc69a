"""Configurations of Focoos' families of networks as specifications of ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .enums import ModelFamily, Task
from .errors import ModelNotFound, WeightsError
from .heads import ClassificationHead, MaskQueriesHead, QueryHead, SemanticQueriesHead
from .model_info import ModelInfo
from .networks import edit
from .networks.resnet_d import DEPTHS
from .networks.stdc import SIZES
from .spec import ImageInput, ModelSpec, NetworkSpec

__all__ = [
    "BISENET_KEYS",
    "CLASSIFIER_KEYS",
    "DETECTOR_KEYS",
    "MASK_KEYS",
    "fai_cls_spec",
    "fai_detr_spec",
    "mask_head",
    "mask_spec",
    "with_sigmoid",
]

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

_DETECTOR_PARAMS = {
    "num_queries": "num_queries",
    "pixel_decoder_dim_feedforward": "encoder_width",
    "pixel_decoder_expansion": "expansion",
    "pixel_decoder_feat_dim": "feature_dim",
    "pixel_decoder_num_encoder_layers": "encoder_layers",
    "transformer_predictor_dec_layers": "decoder_layers",
    "transformer_predictor_dim_feedforward": "decoder_width",
    "transformer_predictor_hidden_dim": "hidden_dim",
}
"""Arguments of our builder by the keys of the configuration of `fai_detr`."""

DETECTOR_KEYS = (
    *_DETECTOR_PARAMS,
    "backbone_config",
    "criterion_deep_supervision",
    "criterion_eos_coef",
    "criterion_focal_alpha",
    "criterion_focal_gamma",
    "criterion_losses",
    "criterion_num_points",
    "head_out_dim",
    "matcher_alpha",
    "matcher_cost_bbox",
    "matcher_cost_class",
    "matcher_cost_giou",
    "matcher_gamma",
    "matcher_use_focal_loss",
    "pixel_decoder_dropout",
    "pixel_decoder_nhead",
    "pixel_decoder_out_dim",
    "pixel_mean",
    "pixel_std",
    "resolution",
    "size_divisibility",
    "threshold",
    "top_k",
    "transformer_predictor_nhead",
    "transformer_predictor_out_dim",
    "weight_dict_loss_bbox",
    "weight_dict_loss_giou",
    "weight_dict_loss_vfl",
)
"""Keys of the configuration of `fai_detr`, except for the number of classes."""

_MASK_PARAMS = {
    "num_queries": "num_queries",
    "transformer_predictor_dec_layers": "decoder_layers",
    "transformer_predictor_dim_feedforward": "decoder_width",
    "transformer_predictor_hidden_dim": "hidden_dim",
}
"""Arguments of our builder by the keys of both families of masks."""

_ENCODER_PARAMS = {
    "pixel_decoder_transformer_dim_feedforward": "encoder_width",
    "pixel_decoder_transformer_layers": "encoder_layers",
}
"""Arguments of our builder by the keys of `fai_mf` alone."""

_MASK_WIDTHS = ("pixel_decoder_feat_dim", "pixel_decoder_out_dim", "transformer_predictor_out_dim")
"""Keys of widths that must be equal: masks are products of features and queries."""

BISENET_KEYS = (
    *_MASK_PARAMS,
    *_MASK_WIDTHS,
    "backbone_config",
    "cls_sigmoid",
    "criterion_deep_supervision",
    "criterion_eos_coef",
    "criterion_num_points",
    "head_out_dim",
    "mask_threshold",
    "matcher_cost_class",
    "matcher_cost_dice",
    "matcher_cost_mask",
    "pixel_mean",
    "pixel_std",
    "postprocessing_type",
    "predict_all_pixels",
    "size_divisibility",
    "threshold",
    "top_k",
    "use_mask_score",
    "weight_dict_loss_ce",
    "weight_dict_loss_dice",
    "weight_dict_loss_mask",
)
"""Keys of the configuration of `bisenetformer`, except for the number of classes."""

MASK_KEYS = (
    *BISENET_KEYS,
    *_ENCODER_PARAMS,
    "pixel_decoder_transformer_dropout",
    "pixel_decoder_transformer_nheads",
    "resolution",
)
"""Keys of the configuration of `fai_mf`, except for the number of classes."""

_HEADS = (
    "pixel_decoder_nhead",
    "pixel_decoder_transformer_nheads",
    "transformer_predictor_nhead",
)
"""Keys of the number of heads of attention, of which only one is built here."""


def fai_cls_spec(info: ModelInfo) -> ModelSpec:
    """Return the specification of a classifier of Focoos: multi-label, of a stretched photo.

    Raises:
        ModelNotFound: The backbone is not built here.
        WeightsError: A key of the configuration is unknown.
    """
    config = info.config
    _check_keys("fai_cls", config, CLASSIFIER_KEYS)
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
    head = ClassificationHead(activation="none")
    return ModelSpec(NetworkSpec("fai_cls", params), _input(info), head, tuple(info.classes))


def fai_detr_spec(info: ModelInfo) -> ModelSpec:
    """Return the specification of a detector of Focoos: queries, of a stretched photo.

    Raises:
        ModelNotFound: The backbone, or the number of heads of attention, is not built here.
        WeightsError: A key of the configuration is unknown.
    """
    config = info.config
    _check_keys("fai_detr", config, DETECTOR_KEYS)
    _check_heads("fai_detr", config)
    given = {ours: config[key] for key, ours in _DETECTOR_PARAMS.items() if key in config}
    params = {
        "variant": None,
        "family": "fai_detr",
        "backbone": _backbone_of(config.get("backbone_config") or {"model_type": "resnet"}),
        "num_classes": len(info.classes),
        "image_size": info.size,
        **given,
    }
    head = QueryHead(
        info.size,
        score_threshold=float(config.get("threshold", 0.5)),
        max_detections=int(config.get("top_k", 300)),
    )
    return ModelSpec(NetworkSpec("rtdetr", params), _input(info), head, tuple(info.classes))


def mask_spec(info: ModelInfo) -> ModelSpec:
    """Return the specification of a network of masks of Focoos, for either of its tasks.

    Photos are stretched to the size of the model, whose graph has a fixed size; Focoos gives photos
    to the network as they are.

    Raises:
        ModelNotFound: The backbone, the widths, the number of heads of attention or the
            postprocessing is not built here.
        WeightsError: A key of the configuration is unknown.
    """
    config = info.config
    is_bisenet = info.model_family is ModelFamily.BISENETFORMER
    family = "bisenetformer" if is_bisenet else "fai_mf"
    _check_keys(family, config, BISENET_KEYS if is_bisenet else MASK_KEYS)
    _check_heads(family, config)
    widths = {key: config.get(key, 256) for key in _MASK_WIDTHS}
    if len({*widths.values()}) > 1:
        msg = f"{family} with different widths is not built here: expected equal ones, got {widths}"
        raise ModelNotFound(msg)
    names = _MASK_PARAMS if is_bisenet else {**_MASK_PARAMS, **_ENCODER_PARAMS}
    params = {
        "family": family,
        "backbone": _backbone_of(config.get("backbone_config") or {"model_type": "resnet"}),
        "feature_dim": widths[_MASK_WIDTHS[0]],
        "num_classes": len(info.classes),
        "image_size": info.size,
        **{ours: config[key] for key, ours in names.items() if key in config},
    }
    spec = NetworkSpec("maskformer", params)
    return ModelSpec(spec, _input(info), mask_head(info), tuple(info.classes))


def mask_head(info: ModelInfo, *, is_export: bool = False) -> MaskQueriesHead | SemanticQueriesHead:
    """Return the head of a network of masks, as its task and its configuration say.

    Args:
        info: The description.
        is_export: Whether the outputs are those of an export: scores and probabilities.

    Raises:
        ModelNotFound: The postprocessing is not built here.
        WeightsError: There is no such type of postprocessing.
    """
    config = info.config
    kind = config.get("postprocessing_type", "semantic")  # which Focoos measures accuracy with
    if kind not in ("instance", "semantic"):
        msg = f"expected postprocessing_type 'semantic' or 'instance', got {kind!r}"
        raise WeightsError(msg)
    activation = "sigmoid" if config.get("cls_sigmoid") else "softmax"
    settings: dict[str, Any] = {
        "size": info.size,
        "activation": "none" if is_export else activation,
        "mask_activation": "none" if is_export else "sigmoid",
        "mask_threshold": float(config.get("mask_threshold", 0.5)),
        "mask_score": bool(config.get("use_mask_score", False)),
        "score_threshold": float(config.get("threshold", 0.5)),
    }
    fills = bool(config.get("predict_all_pixels", False))
    if fills and (info.task is not Task.SEMSEG or settings["mask_score"]):
        msg = (
            "predict_all_pixels is built here for semantic segmentation without use_mask_score, "
            f"not for {info.task.value} with use_mask_score={settings['mask_score']}"
        )
        raise ModelNotFound(msg)
    if info.task is Task.SEMSEG:
        return SemanticQueriesHead(**settings, combine="best" if fills else "masks")
    return MaskQueriesHead(**settings)


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


def _check_keys(family: str, config: Mapping[str, Any], keys: Collection[str]) -> None:
    """Check that a configuration has no unknown key.

    Raises:
        WeightsError: It has one.
    """
    known = (*keys, "num_classes")
    if unknown := [key for key in config if key not in known]:
        msg = f"{family} has no {', '.join(unknown)} in its config; it has {', '.join(known)}"
        raise WeightsError(msg)


def _check_heads(family: str, config: Mapping[str, Any]) -> None:
    """Check the number of heads of attention.

    Raises:
        ModelNotFound: It is not built here.
    """
    if heads := [key for key in _HEADS if config.get(key, 8) != 8]:
        msg = f"{family} with {heads[0]}={config[heads[0]]!r} is not built here: expected 8"
        raise ModelNotFound(msg)


def _input(info: ModelInfo) -> ImageInput:
    """Return the input: stretched, and normalized as the configuration says."""
    mean, std = (
        tuple(map(float, info.config.get(key) or default))
        for key, default in (("pixel_mean", _MEAN), ("pixel_std", _STD))
    )
    return ImageInput(info.size, mean=mean, std=std)  # type: ignore[arg-type]  # three numbers each


def _backbone_of(backbone: Mapping[str, Any]) -> str | int:
    """Return the backbone of a detector: the depth of a ResNet-D, or the size of an STDC.

    Raises:
        ModelNotFound: It is not built here.
    """
    if backbone.get("model_type", "stdc") != "resnet":
        return _size_of(backbone)
    depth, variant = backbone.get("depth", 50), backbone.get("variant", "d")
    plain = {"in_chans": 3, "num_stages": 4, "act": "relu"}
    given = {name: backbone.get(name, value) for name, value in plain.items()}
    if depth not in DEPTHS or variant != "d" or given != plain:
        msg = (
            f"the backbone {dict(backbone)} is not built here: expected a ResNet of variant 'd' "
            f"with depth {', '.join(map(str, DEPTHS))}"
        )
        raise ModelNotFound(msg)
    found: int = depth
    return found


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
