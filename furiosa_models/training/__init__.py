"""Training: new heads on frozen features without PyTorch, and whole networks with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy, require

if TYPE_CHECKING:
    from .args import TrainerArgs

__all__ = ["TrainerArgs", "require_torch"]

__getattr__, __dir__ = lazy(__name__, {"args": "TrainerArgs"})


def require_torch() -> None:
    """Check that PyTorch and what else training needs are installed.

    Raises:
        ExtraRequired: A package is missing.
    """
    for package in ("torch", "torchvision", "matplotlib", "pycocotools"):
        require(package, f"training needs {package}", extra="train")
