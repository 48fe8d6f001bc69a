"""`furiosa.runtime.profiler` of furiosa-runtime 0.10.

If models run on an NPU, these names are the vendor's own. On a CPU they are those of
`furiosa_models.runtime.profiling`.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING

from .._lazy import lazy
from . import profiling
from .devices import defaults_to_npu

if TYPE_CHECKING:
    from .profiling import Profiler, ProfilerRecordObject, RecordFormat, Resource

    profile = Profiler

__all__ = ["Profiler", "ProfilerRecordObject", "RecordFormat", "Resource", "profile"]

_VENDOR = "furiosa.runtime.profiler"


def _find(name: str) -> object:
    if defaults_to_npu():
        return getattr(importlib.import_module(_VENDOR), name)
    return getattr(profiling, "Profiler" if name == "profile" else name)


__getattr__, __dir__ = lazy(__name__, {}, computed={name: partial(_find, name) for name in __all__})
