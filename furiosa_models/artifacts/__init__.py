"""Artifacts: what exists (descriptor), where bytes are (sources), where they are kept (store)."""

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
