"""Hubs of models: the hub of Focoos under its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .base import Hub, Pushed
    from .focoos import FocoosHUB
    from .focoos import FocoosHUB as FocoosHub
    from .records import (
        DatasetPreview,
        DatasetSpec,
        HubSyncLocalTraining,
        Metrics,
        ModelPreview,
        Quotas,
        RemoteModelInfo,
        User,
    )
    from .remote_dataset import RemoteDataset
    from .remote_model import RemoteModel

__all__ = [
    "DatasetPreview",
    "DatasetSpec",
    "FocoosHUB",
    "FocoosHub",
    "Hub",
    "HubSyncLocalTraining",
    "Metrics",
    "ModelPreview",
    "Pushed",
    "Quotas",
    "RemoteDataset",
    "RemoteModel",
    "RemoteModelInfo",
    "User",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "base": ["Hub", "Pushed"],
        "focoos": {"FocoosHUB": "FocoosHUB", "FocoosHub": "FocoosHUB"},
        "records": [
            "DatasetPreview",
            "DatasetSpec",
            "HubSyncLocalTraining",
            "Metrics",
            "ModelPreview",
            "Quotas",
            "RemoteModelInfo",
            "User",
        ],
        "remote_dataset": ["RemoteDataset"],
        "remote_model": ["RemoteModel"],
    },
)
