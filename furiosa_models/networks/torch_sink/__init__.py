"""PyTorch modules that execute ONNX graphs; importing this package imports torch."""

from __future__ import annotations

from .module import GraphModule

__all__ = ["GraphModule"]
