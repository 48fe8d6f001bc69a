"""Artifacts: a descriptor (what exists), sources (where bytes are) and a store (the cache)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .descriptor import Accuracy, Artifact, File, License, ModelEntry, Network, sets_of, zoo
    from .store import Store

__all__ = [
    "Accuracy",
    "Artifact",
    "File",
    "License",
    "ModelEntry",
    "Network",
    "Store",
    "sets_of",
    "zoo",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "descriptor": [
            "Accuracy",
            "Artifact",
            "File",
            "License",
            "ModelEntry",
            "Network",
            "sets_of",
            "zoo",
        ],
        "store": ["Store"],
    },
)
