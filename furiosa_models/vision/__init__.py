"""Vision models: `from furiosa_models.vision import SSDMobileNet`.

The module contains the classes of the catalog and their aliases, and imports each at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .. import catalog
from ..artifacts.descriptor import zoo

if TYPE_CHECKING:
    from ..zoo.deeplab import *  # noqa: F403
    from ..zoo.detr import *  # noqa: F403
    from ..zoo.efficientnet import *  # noqa: F403
    from ..zoo.mobilenet import *  # noqa: F403
    from ..zoo.movenet import *  # noqa: F403
    from ..zoo.nanodet import *  # noqa: F403
    from ..zoo.posenet import *  # noqa: F403
    from ..zoo.resnet import *  # noqa: F403
    from ..zoo.selfie import *  # noqa: F403
    from ..zoo.ssd import *  # noqa: F403
    from ..zoo.u2net import *  # noqa: F403
    from ..zoo.yolov5 import *  # noqa: F403
    from ..zoo.yolov7_pose import *  # noqa: F403
    from ..zoo.yolox import *  # noqa: F403

__all__ = sorted(zoo())

_MODULES = frozenset(
    {
        "common",
        "efficientnet_b0",
        "efficientnet_v2_s",
        "postprocess",
        "preprocess",
        "resnet50",
        "ssd_mobilenet",
        "ssd_resnet34",
        "yolov5",
        "yolov7_w6_pose",
    }
)
"""Modules of 0.8 to 0.10, which are available as attributes without an import."""


def __getattr__(name: str) -> Any:
    if name in zoo() or name in catalog.aliases():
        return catalog.model_class(name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
