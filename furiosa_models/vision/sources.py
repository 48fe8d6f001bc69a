"""Sources of photos, under the import path of this package's first version."""

from __future__ import annotations

from ..images.sources import count, expand_sources, is_single

__all__ = ["count", "expand_sources", "is_single"]
