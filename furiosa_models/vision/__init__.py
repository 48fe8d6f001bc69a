"""Vision models: `from furiosa_models.vision import SSDMobileNet`.

Its names are the classes of the catalog, and their other names; each is imported at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import catalog
from ..artifacts.descriptor import zoo

if TYPE_CHECKING:
    from ..zoo.efficientnet import *  # noqa: F403
    from ..zoo.mobilenet import *  # noqa: F403
    from ..zoo.resnet import *  # noqa: F403
    from ..zoo.ssd import *  # noqa: F403
    from ..zoo.yolov5 import *  # noqa: F403
    from ..zoo.yolov7_pose import *  # noqa: F403

__all__ = sorted(zoo())


def __getattr__(name: str) -> Any:
    if name in zoo() or name in catalog.aliases():
        return catalog.model_class(name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
