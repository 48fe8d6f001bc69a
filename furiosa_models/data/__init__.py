"""Data sets of labeled photos: one form for all layouts; nothing here needs PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .records import LabeledPhoto, LabeledPhotos, Objects

__all__ = ["LabeledPhoto", "LabeledPhotos", "Objects"]

__getattr__, __dir__ = lazy(__name__, {"records": ["LabeledPhoto", "LabeledPhotos", "Objects"]})
