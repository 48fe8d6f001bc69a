"""A vision model zoo that needs nothing but pip.

Names are imported when they are first used: `import furiosa_models` loads nothing else.
"""

from __future__ import annotations

import os

from ._lazy import lazy

TYPE_CHECKING = False  # type checkers know the name; importing it takes longer than all the rest

if TYPE_CHECKING:
    from . import registry, runtime, vision
    from .catalog import get_model, list_models, register
    from .model import Model
    from .runtime import register_backend
    from .spec import Head, ImageInput, ModelSpec, NetworkSpec
    from .task_models import Classifier, Detector, PoseEstimator

__all__ = [
    "Classifier",
    "Detector",
    "Head",
    "ImageInput",
    "Model",
    "ModelSpec",
    "NetworkSpec",
    "PoseEstimator",
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

# From 1.29 on ONNX Runtime reports which models run to its makers, over the network and by default.
# It reads this when it is imported; what the user has set holds.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _version() -> str:
    from importlib.metadata import version

    return version("furiosa-model-zoo")


__getattr__, __dir__ = lazy(
    __name__,
    {
        "catalog": ["get_model", "list_models", "register"],
        "model": "Model",
        "runtime": "register_backend",
        "spec": ["Head", "ImageInput", "ModelSpec", "NetworkSpec"],
        "task_models": ["Classifier", "Detector", "PoseEstimator"],
    },
    modules=["registry", "runtime", "vision"],
    computed={"__version__": _version},
)
