"""Models of any framework, under Neural Compressor's names."""

from __future__ import annotations

from .base_model import BaseModel
from .model import MODELS, Model

__all__ = ["MODELS", "BaseModel", "Model"]
