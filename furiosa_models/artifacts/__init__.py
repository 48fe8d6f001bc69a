"""Artifacts: what exists (descriptor), where bytes are (sources), where they are kept (store)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .descriptor import Accuracy, Artifact, File, License, Network, find, load_descriptor, zoo
    from .store import Store

__all__ = [
    "Accuracy",
    "Artifact",
    "File",
    "License",
    "Network",
    "Store",
    "find",
    "load_descriptor",
    "zoo",
]


def __getattr__(name: str) -> Any:
    # The descriptor brings in pydantic and YAML, which running a model does without.
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    module = "store" if name == "Store" else "descriptor"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
