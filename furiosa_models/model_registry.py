"""The registry of models by name, in the form of Focoos: those of the catalog, and Focoos' own.

The models of Focoos are listed with what its documentation says about them. Their weights are on
its servers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from .catalog import entries, list_models, model_class
from .enums import ModelFamily, Task
from .errors import ModelNotFound
from .labels import load_labels, table_of
from .model_info import ModelInfo

__all__ = ["ModelRegistry"]

_FOCOOS_VERSION = "0.25.0"
_PACKAGES = ("pypi:", "npm:")


class _Known(NamedTuple):
    """What is known of a model of Focoos.

    Attributes:
        family: Family of its network.
        task: Its task.
        size: Height and width of its input.
        labels: Table of its classes; `person` for that class alone.
        config: Configuration of its network, as far as it is not the default of the family.
        metric: Published accuracy in percent, by name.
    """

    family: ModelFamily
    task: Task
    size: int
    labels: str
    config: dict[str, Any]
    metric: dict[str, float]


def _stdc(size: str) -> dict[str, Any]:
    return {"backbone_config": {"model_type": "stdc", "size": size}}


def _resnet(depth: int) -> dict[str, Any]:
    return {"backbone_config": {"model_type": "resnet", "depth": depth, "variant": "d"}}


def _detr(dims: int, encoder_layers: int, decoder_layers: int, ff: int) -> dict[str, Any]:
    return {
        "pixel_decoder_feat_dim": dims,
        "pixel_decoder_out_dim": dims,
        "pixel_decoder_num_encoder_layers": encoder_layers,
        "transformer_predictor_out_dim": dims,
        "transformer_predictor_dec_layers": decoder_layers,
        "transformer_predictor_dim_feedforward": ff,
        "head_out_dim": dims,
    }


def _masks(dims: int, encoder_layers: int, decoder_layers: int, ff: int) -> dict[str, Any]:
    return {
        "pixel_decoder_feat_dim": dims,
        "pixel_decoder_out_dim": dims,
        "pixel_decoder_transformer_layers": encoder_layers,
        "transformer_predictor_out_dim": dims,
        "transformer_predictor_dec_layers": decoder_layers,
        "transformer_predictor_dim_feedforward": ff,
        "head_out_dim": dims,
    }


def _bisenet(size: str, dims: int, decoder_layers: int, ff: int) -> dict[str, Any]:
    config = _masks(dims, 0, decoder_layers, ff)
    del config["pixel_decoder_transformer_layers"]
    return {**_stdc(size), **config, **_SCENES}


def _rtmo(size: str, widen: float, dims: int, layers: int) -> dict[str, Any]:
    return {
        "backbone_config": {"model_type": "csp_darknet", "size": size},
        "widen_factor": widen,
        "output_dim": dims,
        "pose_vec_channels": dims,
        "csp_layers": layers,
        "featmap_strides": [16, 32],
        "featmap_strides_pointgenerator": [16, 32],
        "score_thr": 0.01,
    }


_SCENES = {"predict_all_pixels": True, "postprocessing_type": "semantic"}
_OBJECTS = {"use_mask_score": True, "postprocessing_type": "instance"}
_DETECT, _SEMANTIC, _INSTANCES = Task.DETECTION, Task.SEMSEG, Task.INSTANCE_SEGMENTATION
_DETR, _MF, _BISENET = ModelFamily.DETR, ModelFamily.MASKFORMER, ModelFamily.BISENETFORMER
_CLS, _RTMO = ModelFamily.IMAGE_CLASSIFIER, ModelFamily.RTMO
_CLASSIFY, _POSE = Task.CLASSIFICATION, Task.KEYPOINT

_LARGE = {**_resnet(50), **_detr(256, 1, 6, 1024)}

_FOCOOS = {
    "bisenetformer-l-ade": _Known(
        _BISENET, _SEMANTIC, 640, "ade20k", _bisenet("large", 128, 6, 1024), {"sem_seg/mIoU": 45.1}
    ),
    "bisenetformer-m-ade": _Known(
        _BISENET, _SEMANTIC, 640, "ade20k", _bisenet("large", 96, 4, 512), {"sem_seg/mIoU": 43.4}
    ),
    "bisenetformer-s-ade": _Known(
        _BISENET, _SEMANTIC, 640, "ade20k", _bisenet("small", 128, 6, 1024), {"sem_seg/mIoU": 42.9}
    ),
    "fai-cls-m-coco": _Known(
        *(_CLS, _CLASSIFY, 224, "coco80", {**_stdc("small"), "features": "res5"}),
        {"classification/F1": 61.9},
    ),
    "fai-cls-n-coco": _Known(
        *(_CLS, _CLASSIFY, 224, "coco80", {**_stdc("nano"), "features": "res4"}),
        {"classification/F1": 51.3},
    ),
    "fai-cls-s-coco": _Known(
        *(_CLS, _CLASSIFY, 224, "coco80", {**_stdc("small"), "features": "res4"}),
        {"classification/F1": 48.7},
    ),
    "fai-detr-l-coco": _Known(_DETR, _DETECT, 640, "coco80", _LARGE, {"bbox/AP": 53.1}),
    "fai-detr-l-obj365": _Known(_DETR, _DETECT, 640, "objects365", _LARGE, {}),
    "fai-detr-m-coco": _Known(
        *(_DETR, _DETECT, 640, "coco80", {**_stdc("large"), **_detr(128, 0, 3, 1024)}),
        {"bbox/AP": 44.7},
    ),
    "fai-mf-l-ade": _Known(
        *(_MF, _SEMANTIC, 640, "ade20k", {**_resnet(101), **_masks(128, 0, 6, 1024), **_SCENES}),
        {"sem_seg/mIoU": 48.1},
    ),
    "fai-mf-l-coco-ins": _Known(
        *(_MF, _INSTANCES, 1024, "coco80", {**_resnet(101), **_masks(256, 6, 9, 2048), **_OBJECTS}),
        {"segm/AP": 44.4},
    ),
    "fai-mf-m-ade": _Known(
        *(_MF, _SEMANTIC, 640, "ade20k", {**_stdc("large"), **_masks(128, 0, 3, 512), **_SCENES}),
        {"sem_seg/mIoU": 44.4},
    ),
    "fai-mf-m-coco-ins": _Known(
        *(_MF, _INSTANCES, 1024, "coco80", {**_resnet(101), **_masks(128, 3, 6, 1024), **_OBJECTS}),
        {"segm/AP": 43.4},
    ),
    "fai-mf-s-coco-ins": _Known(
        *(_MF, _INSTANCES, 1024, "coco80", {**_resnet(50), **_masks(128, 3, 6, 1024), **_OBJECTS}),
        {"segm/AP": 39.0},
    ),
    "rtmo-l-coco": _Known(
        _RTMO, _POSE, 640, "person", _rtmo("large", 1.0, 512, 3), {"keypoints/AP": 72.2}
    ),
    "rtmo-m-coco": _Known(
        _RTMO, _POSE, 640, "person", _rtmo("medium", 0.75, 384, 2), {"keypoints/AP": 70.9}
    ),
    "rtmo-s-coco": _Known(
        _RTMO, _POSE, 640, "person", _rtmo("small", 0.5, 256, 1), {"keypoints/AP": 67.9}
    ),
}


class ModelRegistry:
    """Models by name. Nothing is downloaded."""

    @classmethod
    def list_models(cls) -> list[str]:
        """Return the names of the models: those of the catalog, then those of Focoos."""
        return [*list_models(), *_FOCOOS]

    @classmethod
    def exists(cls, name: str) -> bool:
        """Return whether there is a model of that name."""
        try:
            model_class(name)
        except ModelNotFound:
            return name in _FOCOOS
        return True

    @classmethod
    def is_of_focoos(cls, name: str) -> bool:
        """Return whether the name is that of a model of Focoos, whose weights are not here."""
        return name in _FOCOOS

    @classmethod
    def get_model_info(cls, name: str | os.PathLike[str]) -> ModelInfo:
        """Return what is known about a model.

        Args:
            name: Name of the model, or a `model_info.json`.

        Raises:
            ModelNotFound: There is no such model.
            WeightsError: The file does not describe a model.
        """
        text = os.fspath(name)
        if text.lower().endswith(".json") and Path(text).is_file():
            return ModelInfo.from_json(text)
        if text in _FOCOOS:
            return _info_of_focoos(text)
        return _info_of_catalog(text)


def alternatives(task: Task) -> list[str]:
    """Return models for a task whose weights come from a package index."""
    found = []
    for entry in entries():
        cls = model_class(entry.name)
        if cls.spec is not None and cls.spec.head.task.task is task:
            sets = cls.catalog().items()
            names = [name for name, a in sets if a.location.startswith(_PACKAGES)]
            found += [f"{entry.name} (weights={names[0]!r})"] if names else []
    return found


def _info_of_focoos(name: str) -> ModelInfo:
    known = _FOCOOS[name]
    classes = ["person"] if known.labels == "person" else list(load_labels(known.labels))
    config = {"num_classes": len(classes), "resolution": known.size, **known.config}
    if known.family in (_BISENET, _RTMO):  # they have no such key
        del config["resolution"]
    return ModelInfo(
        name=name,
        model_family=known.family,
        classes=classes,
        im_size=known.size,
        task=known.task,
        config=config,
        focoos_model=name,
        description=f"A model of Focoos for {known.task.value}; its weights are on its servers.",
        val_metrics=dict(known.metric) or None,
        focoos_version=_FOCOOS_VERSION,
    )


def _info_of_catalog(name: str) -> ModelInfo:
    cls = model_class(name)
    spec = cls.spec
    if spec is None or spec.head.task.task is None:
        msg = f"{name} has no task of Focoos"
        raise ModelNotFound(msg)
    artifact = next(iter(cls.catalog().values()), None)
    labels = table_of(artifact.labels if artifact and artifact.labels else spec.labels)
    accuracy = artifact.accuracy if artifact else ()
    height, width = spec.input.size
    return ModelInfo(
        name=cls.__name__,
        model_family=cls.family or cls.__name__,
        classes=list(labels),
        im_size=height if height == width else (height, width),
        task=spec.head.task.task,
        config={"class": cls.__name__, "num_classes": len(labels)},
        description=cls.metadata.description if cls.metadata else None,
        val_metrics={each.metric: each.value for each in accuracy} or None,
    )
