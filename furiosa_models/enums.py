"""Enumerations used by all layers."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

__all__ = [
    "DatasetLayout",
    "DatasetSplitType",
    "ExportFormat",
    "Format",
    "ModelExtension",
    "ModelFamily",
    "ModelStatus",
    "ModelTaskType",
    "Platform",
    "Precision",
    "RuntimeType",
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
    """Task of a model, with the names of Focoos; the last one is ours."""

    DETECTION = "detection"
    SEMSEG = "semseg"
    INSTANCE_SEGMENTATION = "instseg"
    CLASSIFICATION = "classification"
    KEYPOINT = "keypoint"
    MATTE = "matte"


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
    """Task of a model: three with the names of furiosa-models 0.10, then ours."""

    OBJECT_DETECTION = "OBJECT_DETECTION"
    IMAGE_CLASSIFICATION = "IMAGE_CLASSIFICATION"
    POSE_ESTIMATION = "POSE_ESTIMATION"
    SEMANTIC_SEGMENTATION = "SEMANTIC_SEGMENTATION"
    MATTE_ESTIMATION = "MATTE_ESTIMATION"
    INSTANCE_SEGMENTATION = "INSTANCE_SEGMENTATION"


class Format(str, Enum):
    """Format of a model's binary."""

    ONNX = "ONNX"
    TFLite = "TFLITE"
    TORCHSCRIPT = "TORCHSCRIPT"
    ENF = "ENF"

    @classmethod
    def _missing_(cls, value: object) -> Format | None:
        """Return the format for a name in any case: 0.8, 0.9 and descriptors use lower case."""
        known = {member.value: member for member in cls}
        return known.get(value.upper()) if isinstance(value, str) else None


class ModelFamily(str, Enum):
    """Family of networks, with the names of Focoos; families of the zoo are plain strings."""

    DETR = "fai_detr"
    MASKFORMER = "fai_mf"
    BISENETFORMER = "bisenetformer"
    IMAGE_CLASSIFIER = "fai_cls"
    RTMO = "rtmo"


class ModelStatus(str, Enum):
    """State of a model, with the names of Focoos."""

    CREATED = "CREATED"
    TRAINING_STARTING = "TRAINING_STARTING"
    TRAINING_RUNNING = "TRAINING_RUNNING"
    TRAINING_ERROR = "TRAINING_ERROR"
    TRAINING_COMPLETED = "TRAINING_COMPLETED"
    TRAINING_STOPPED = "TRAINING_STOPPED"
    DEPLOYED = "DEPLOYED"
    DEPLOY_ERROR = "DEPLOY_ERROR"


class ExportFormat(str, Enum):
    """Format of an exported file; the first two are those of Focoos."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TFLITE = "tflite"
    ENF = "enf"


class RuntimeType(str, Enum):
    """What an exported model runs on; the first six are those of Focoos."""

    ONNX_CUDA32 = "onnx_cuda32"
    ONNX_TRT32 = "onnx_trt32"
    ONNX_TRT16 = "onnx_trt16"
    ONNX_CPU = "onnx_cpu"
    ONNX_COREML = "onnx_coreml"
    TORCHSCRIPT_32 = "torchscript_32"
    ONNX_OPENVINO = "onnx_openvino"
    ONNX_INT8 = "onnx_int8"
    TFLITE = "tflite"
    ENF = "enf"

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> RuntimeType | None:
        """Return the type for a name in any case, such as `"ONNX_CPU"`."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None

    def to_export_format(self) -> ExportFormat:
        """Return the format of the exported file."""
        others = {
            RuntimeType.TORCHSCRIPT_32: ExportFormat.TORCHSCRIPT,
            RuntimeType.TFLITE: ExportFormat.TFLITE,
            RuntimeType.ENF: ExportFormat.ENF,
        }
        return others.get(self, ExportFormat.ONNX)


class ModelExtension(str, Enum):
    """Extension of a model's file; the first three are those of Focoos."""

    ONNX = "onnx"
    TORCHSCRIPT = "pt"
    WEIGHTS = "pth"
    TFLITE = "tflite"
    ENF = "enf"

    @classmethod
    def from_runtime_type(cls, runtime_type: RuntimeType) -> ModelExtension:
        """Return the extension of the file that is exported for a runtime."""
        return cls[runtime_type.to_export_format().name]
