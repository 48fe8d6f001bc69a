"""Predict large photos in tiles, so that small objects are large enough for the network."""

from __future__ import annotations

from .steps import TiledSteps
from .tiling import Tiles, Tiling

__all__ = ["TiledSteps", "Tiles", "Tiling"]
