"""Hubs of models: push and pull folders of saved models, and the hub of Focoos under its names.

| reference | hub |
|---|---|
| `hub://REF` | that of Focoos: `FocoosHUB` |
| `hf://OWNER/NAME[@REVISION]` | Hugging Face |
| `PLACE/NAME[@VERSION]`, where PLACE is a folder, `file://`, `s3://` or `gs://` | one of your own |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .base import Hub, Pushed
    from .client import ApiClient
    from .focoos import FocoosHUB
    from .focoos import FocoosHUB as FocoosHub
    from .huggingface import HuggingFaceHub
    from .own import OwnHub
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
    from .references import hub_of, pull, push
    from .remote_dataset import RemoteDataset
    from .remote_model import RemoteModel

__all__ = [
    "ApiClient",
    "DatasetPreview",
    "DatasetSpec",
    "FocoosHUB",
    "FocoosHub",
    "Hub",
    "HubSyncLocalTraining",
    "HuggingFaceHub",
    "Metrics",
    "ModelPreview",
    "OwnHub",
    "Pushed",
    "Quotas",
    "RemoteDataset",
    "RemoteModel",
    "RemoteModelInfo",
    "User",
    "hub_of",
    "pull",
    "push",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "base": ["Hub", "Pushed"],
        "client": ["ApiClient"],
        "focoos": {"FocoosHUB": "FocoosHUB", "FocoosHub": "FocoosHUB"},
        "huggingface": ["HuggingFaceHub"],
        "own": ["OwnHub"],
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
        "references": ["hub_of", "pull", "push"],
        "remote_dataset": ["RemoteDataset"],
        "remote_model": ["RemoteModel"],
    },
)
