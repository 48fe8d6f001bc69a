"""Labels, under the import path of this package's first version; see `furiosa_models.labels`."""

from __future__ import annotations

from ..labels import load_labels

__all__ = ["load_labels"]
