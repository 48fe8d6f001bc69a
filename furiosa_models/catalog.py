"""The catalogue: every model by name."""

from __future__ import annotations

import fnmatch
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from .enums import ModelTaskType
from .errors import ModelNotFound

if TYPE_CHECKING:
    from .vision.tasks import ImageModel

__all__ = ["ENTRIES", "Entry", "get_model", "list_models", "model_class", "task_type"]

_PACKAGE = "furiosa_models.vision.models"

_CLASSIFICATION = ModelTaskType.IMAGE_CLASSIFICATION
_DETECTION = ModelTaskType.OBJECT_DETECTION
_POSE = ModelTaskType.POSE_ESTIMATION


class Entry(NamedTuple):
    """What can be said of a model without importing its class (and numpy with it).

    Attributes:
        module: Module of its class, in `furiosa_models.vision.models`.
        task: Its `task_type`.
        summary: First line of its docstring.
    """

    module: str
    task: ModelTaskType
    summary: str


ENTRIES = {
    "EfficientNetB0": Entry(
        "efficientnet_b0",
        _CLASSIFICATION,
        "EfficientNet-B0: 1000 classes of ImageNet, 224x224.",
    ),
    "EfficientNetLite0": Entry(
        "efficientnet_lite",
        _CLASSIFICATION,
        "EfficientNet-Lite0: 1000 classes of ImageNet, 224x224; no swish and no squeeze-excite.",
    ),
    "EfficientNetLite1": Entry(
        "efficientnet_lite",
        _CLASSIFICATION,
        "EfficientNet-Lite1: 1000 classes of ImageNet, 240x240.",
    ),
    "EfficientNetLite2": Entry(
        "efficientnet_lite",
        _CLASSIFICATION,
        "EfficientNet-Lite2: 1000 classes of ImageNet, 260x260.",
    ),
    "EfficientNetV2s": Entry(
        "efficientnet_v2s",
        _CLASSIFICATION,
        "EfficientNetV2-S: 1000 classes of ImageNet, 384x384; the most accurate classifier here.",
    ),
    "MobileNetV2": Entry(
        "mobilenet_v2",
        _CLASSIFICATION,
        "MobileNetV2: 1000 classes of ImageNet, 224x224; small and fast.",
    ),
    "ResNet50": Entry(
        "resnet50",
        _CLASSIFICATION,
        "ResNet50 v1.5: 1000 classes of ImageNet, 224x224, "
        "the classifier of MLPerf inference v1.1.",
    ),
    "SSDMobileNet": Entry(
        "ssd_mobilenet",
        _DETECTION,
        "SSD MobileNet v1: 90 classes of COCO, 300x300, the detector of MLPerf inference v1.1.",
    ),
    "SSDMobileNetV2": Entry(
        "ssd_mobilenet_v2",
        _DETECTION,
        "SSD MobileNet v2: 90 classes of COCO, 300x300; better than v1, a little slower.",
    ),
    "SSDResNet34": Entry(
        "ssd_resnet34",
        _DETECTION,
        "SSD ResNet34: 80 classes of COCO, 1200x1200, the large detector of MLPerf inference v1.1.",
    ),
    "YOLOv5l": Entry(
        "yolov5",
        _DETECTION,
        'YOLOv5 large: 10 classes of BDD100K (80 of COCO with `weights="coco"`), 640x640.',
    ),
    "YOLOv5m": Entry(
        "yolov5",
        _DETECTION,
        "YOLOv5 medium: 10 classes of BDD100K, 640x640.",
    ),
    "YOLOv5n": Entry(
        "yolov5",
        _DETECTION,
        "YOLOv5 nano: 80 classes of COCO, 640x640; bring its weights, no package has them.",
    ),
    "YOLOv5s": Entry(
        "yolov5",
        _DETECTION,
        "YOLOv5 small: 80 classes of COCO, 640x640.",
    ),
    "YOLOv7w6Pose": Entry(
        "yolov7_w6_pose",
        _POSE,
        "YOLOv7-w6-pose: people and their 17 joints, 384x640.",
    ),
}
"""Every model; a test holds that its class says the same."""

OLD_NAMES = {
    "EfficientNetV2_S": "EfficientNetV2s",
    "MLCommonsResNet50": "ResNet50",
    "MLCommonsSSDMobileNet": "SSDMobileNet",
    "MLCommonsSSDResNet34": "SSDResNet34",
}
"""Names of furiosa-artifacts, and what they are called here."""

_TASK_STEMS = {"detect": _DETECTION, "classif": _CLASSIFICATION, "pose": _POSE}


def list_models(pattern: str = "*", *, task: str | ModelTaskType | None = None) -> list[str]:
    """Names of the models, in alphabetical order; nothing is fetched.

    Args:
        pattern: A glob that the name matches, case-insensitively.
        task: A task, or a word for one: `"detect"`, `"classify"`, `"pose"`.

    Raises:
        ValueError: There is no such task.
    """
    names = [name for name in ENTRIES if fnmatch.fnmatch(name.lower(), pattern.lower())]
    if task is None:
        return names
    wanted = task_type(task)
    return [name for name in names if ENTRIES[name].task is wanted]


def model_class(name: str) -> type[ImageModel[Any]]:
    """Class of the model of that name; capitals, dashes and underscores do not matter.

    Raises:
        ModelNotFound: There is none; the message names the close ones.
    """
    known = {_normalized(full): full for full in ENTRIES}
    known |= {_normalized(old): new for old, new in OLD_NAMES.items()}
    full = known.get(_normalized(name))
    if full is None:
        import difflib  # takes longer to import than this module, and is for mistakes only

        close = difflib.get_close_matches(_normalized(name), known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(dict.fromkeys(known[c] for c in close))}?" if close else ""
        msg = f"there is no model {name!r}; {hint or 'there are ' + ', '.join(ENTRIES)}"
        raise ModelNotFound(msg)
    module = importlib.import_module(f"{_PACKAGE}.{ENTRIES[full].module}")
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
