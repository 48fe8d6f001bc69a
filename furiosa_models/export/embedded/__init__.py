"""One ONNX graph from the pixels of a photo to the results, for any ONNX runtime.

Preprocessing, network and postprocessing are operations of the standard domain, so that the file
needs nothing of this package. See `embed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from .assembly import embed

__all__ = ["embed"]

__getattr__, __dir__ = lazy(__name__, {"assembly": "embed"})
