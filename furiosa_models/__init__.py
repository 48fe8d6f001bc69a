"""A vision model zoo that needs nothing but pip.

Names are imported on first use: `import furiosa_models` itself imports nothing else.
"""

from __future__ import annotations

import os

from ._lazy import lazy

TYPE_CHECKING = False  # type checkers know this name; importing typing would be slow

if TYPE_CHECKING:
    from . import registry, runtime, vision
    from .catalog import get_model, list_models, register
    from .enums import ModelFamily, RuntimeType, Task
    from .focoos import FocoosDetections
    from .hub import FocoosHUB, FocoosHub, RemoteDataset, RemoteModel
    from .manager import ModelManager
    from .model import InferModel, Model
    from .model import Model as FocoosModel
    from .model_info import ModelInfo
    from .model_registry import ModelRegistry
    from .runtime import register_backend
    from .spec import Head, ImageInput, ModelSpec, NetworkSpec
    from .task_models import (
        Classifier,
        Detector,
        InstanceSegmenter,
        MatteEstimator,
        PoseEstimator,
        Segmenter,
    )
    from .training.args import TrainerArgs

__all__ = [
    "Classifier",
    "Detector",
    "FocoosDetections",
    "FocoosHUB",
    "FocoosHub",
    "FocoosModel",
    "Head",
    "ImageInput",
    "InferModel",
    "InstanceSegmenter",
    "MatteEstimator",
    "Model",
    "ModelFamily",
    "ModelInfo",
    "ModelManager",
    "ModelRegistry",
    "ModelSpec",
    "NetworkSpec",
    "PoseEstimator",
    "RemoteDataset",
    "RemoteModel",
    "RuntimeType",
    "Segmenter",
    "Task",
    "TrainerArgs",
    "__version__",
    "get_model",
    "list_models",
    "register",
    "register_backend",
    "registry",
    "runtime",
    "vision",
]

__version__: str

# Since 1.29 ONNX Runtime by default sends telemetry about the models that run. It reads this
# variable on import. The user's own setting takes precedence.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _version() -> str:
    from importlib.metadata import version

    return version("furiosa-model-zoo")


__getattr__, __dir__ = lazy(
    __name__,
    {
        "catalog": ["get_model", "list_models", "register"],
        "enums": ["ModelFamily", "RuntimeType", "Task"],
        "focoos": "FocoosDetections",
        "hub": ["FocoosHUB", "FocoosHub", "RemoteDataset", "RemoteModel"],
        "manager": "ModelManager",
        "model": {"FocoosModel": "Model", "InferModel": "InferModel", "Model": "Model"},
        "model_info": "ModelInfo",
        "model_registry": "ModelRegistry",
        "runtime": "register_backend",
        "spec": ["Head", "ImageInput", "ModelSpec", "NetworkSpec"],
        "task_models": [
            *("Classifier", "Detector", "InstanceSegmenter", "MatteEstimator", "PoseEstimator"),
            "Segmenter",
        ],
        "training.args": "TrainerArgs",
    },
    modules=["registry", "runtime", "vision"],
    computed={"__version__": _version},
)
