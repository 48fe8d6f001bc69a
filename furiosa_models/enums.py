"""Enumerations used by all layers."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

__all__ = [
    "DatasetLayout",
    "DatasetSplitType",
    "Format",
    "ModelTaskType",
    "Platform",
    "Precision",
    "Task",
]

Precision: TypeAlias = Literal["fp32", "int8"]
"""Precision of a program."""


class Platform(str, Enum):
    """Implementation language of pre- and postprocessing."""

    PYTHON = "PYTHON"
    C = "C"
    CPP = "CPP"
    RUST = "RUST"

    @classmethod
    def _missing_(cls, value: object) -> Platform | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class Task(str, Enum):
    """Task of a model, with the names of Focoos."""

    DETECTION = "detection"
    SEMSEG = "semseg"
    INSTANCE_SEGMENTATION = "instseg"
    CLASSIFICATION = "classification"
    KEYPOINT = "keypoint"


class DatasetLayout(str, Enum):
    """Form of the labels of a data set; the first four are those of Focoos."""

    ROBOFLOW_COCO = "roboflow_coco"
    ROBOFLOW_SEG = "roboflow_seg"
    CATALOG = "catalog"
    CLS_FOLDER = "cls_folder"
    COCO = "coco"
    CSV = "csv"
    YOLO = "yolo"
    VOC = "voc"


class DatasetSplitType(str, Enum):
    """Part of a data set, with the names of Focoos."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class ModelTaskType(str, Enum):
    """Task of a model, with the names of furiosa-models 0.10."""

    OBJECT_DETECTION = "OBJECT_DETECTION"
    IMAGE_CLASSIFICATION = "IMAGE_CLASSIFICATION"
    POSE_ESTIMATION = "POSE_ESTIMATION"


class Format(str, Enum):
    """Format of a model's binary."""

    ONNX = "ONNX"
    TFLite = "TFLITE"

    @classmethod
    def _missing_(cls, value: object) -> Format | None:
        """Return the format for a name in any case: 0.8, 0.9 and descriptors use lower case."""
        known = {member.value: member for member in cls}
        return known.get(value.upper()) if isinstance(value, str) else None
