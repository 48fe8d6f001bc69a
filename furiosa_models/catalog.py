"""The catalogue: every model by name."""

from __future__ import annotations

import fnmatch
import importlib
from typing import TYPE_CHECKING, Any

from .artifacts.descriptor import zoo
from .enums import ModelTaskType
from .errors import ModelNotFound

if TYPE_CHECKING:
    from .vision.tasks import ImageModel

__all__ = ["aliases", "get_model", "list_models", "model_class", "task_type"]

_PACKAGE = "furiosa_models.zoo"

_CLASSIFICATION = ModelTaskType.IMAGE_CLASSIFICATION
_DETECTION = ModelTaskType.OBJECT_DETECTION
_POSE = ModelTaskType.POSE_ESTIMATION

_MODULES = {
    "EfficientNetB0": "efficientnet_b0",
    "EfficientNetLite0": "efficientnet_lite",
    "EfficientNetLite1": "efficientnet_lite",
    "EfficientNetLite2": "efficientnet_lite",
    "EfficientNetV2s": "efficientnet_v2s",
    "MobileNetV2": "mobilenet_v2",
    "ResNet50": "resnet50",
    "SSDMobileNet": "ssd_mobilenet",
    "SSDMobileNetV2": "ssd_mobilenet_v2",
    "SSDResNet34": "ssd_resnet34",
    "YOLOv5l": "yolov5",
    "YOLOv5m": "yolov5",
    "YOLOv5n": "yolov5",
    "YOLOv5s": "yolov5",
    "YOLOv7w6Pose": "yolov7_w6_pose",
}

_TASK_STEMS = {"detect": _DETECTION, "classif": _CLASSIFICATION, "pose": _POSE}


def list_models(pattern: str = "*", *, task: str | ModelTaskType | None = None) -> list[str]:
    """Names of the models, in alphabetical order; nothing is fetched.

    Args:
        pattern: A glob that the name matches, case-insensitively.
        task: A task, or a word for one: `"detect"`, `"classify"`, `"pose"`.

    Raises:
        ValueError: There is no such task.
    """
    names = [name for name in zoo() if fnmatch.fnmatch(name.lower(), pattern.lower())]
    if task is None:
        return names
    wanted = task_type(task)
    return [name for name in names if zoo()[name].task is wanted]


def aliases() -> dict[str, str]:
    """Return the names of 0.10 and of furiosa-artifacts, and the classes that they stand for."""
    return {
        alias: entry.class_name
        for entry in zoo().values()
        for alias in (entry.name, *entry.aliases)
    }


def model_class(name: str) -> type[ImageModel[Any]]:
    """Class of the model of that name; capitals, dashes and underscores do not matter.

    Raises:
        ModelNotFound: There is none; the message names the close ones.
    """
    known = {_normalized(other): full for other, full in aliases().items()}
    known |= {_normalized(full): full for full in zoo()}
    full = known.get(_normalized(name))
    if full is None:
        import difflib  # takes longer to import than this module, and is for mistakes only

        close = difflib.get_close_matches(_normalized(name), known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(dict.fromkeys(known[c] for c in close))}?" if close else ""
        msg = f"there is no model {name!r}; {hint or 'there are ' + ', '.join(zoo())}"
        raise ModelNotFound(msg)
    module = importlib.import_module(f"{_PACKAGE}.{_MODULES[full]}")
    found: type[ImageModel[Any]] = getattr(module, full)
    return found


def get_model(name: str, **options: Any) -> ImageModel[Any]:
    """The model of that name.

    Args:
        name: See `model_class`.
        options: Arguments of its constructor.

    Raises:
        ModelNotFound: There is none.
    """
    return model_class(name)(**options)


def task_type(name: str | ModelTaskType) -> ModelTaskType:
    """The task that is meant: `"detect"`, `"classify"`, `"pose"`, or its full name.

    Raises:
        ValueError: There is none.
    """
    text = str(getattr(name, "value", name)).casefold()
    for stem, task in _TASK_STEMS.items():
        if stem in text:
            return task
    msg = f"there is no task {name!r}; there are {', '.join(_TASK_STEMS)}"
    raise ValueError(msg)


def _normalized(name: str) -> str:
    return "".join(c for c in name if c.isalnum()).casefold()
