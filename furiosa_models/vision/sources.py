"""Sources of photos, under the import path of our first version."""

from __future__ import annotations

from ..images.sources import count, expand_sources, is_single

__all__ = ["count", "expand_sources", "is_single"]
