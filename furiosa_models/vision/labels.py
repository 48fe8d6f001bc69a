"""Labels, under the import path of our first version; they are in `furiosa_models.labels`."""

from __future__ import annotations

from ..labels import load_labels

__all__ = ["load_labels"]
