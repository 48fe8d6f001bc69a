"""Labels of a batch as tensors, in the coordinates of the network's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Target", "Tensor"]

Tensor: TypeAlias = Any
"""A `torch.Tensor`; importing torch is left to the modules that compute."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Labels of one image of a batch.

    Attributes:
        class_ids: int64; () the class of the image for classification, or (n,) those of its
            objects, counted without a background.
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the network's input, for
            detection.
    """

    class_ids: Tensor
    boxes: Tensor | None = None

    def to(self, device: Any) -> Target:
        """Return the labels on a device."""
        boxes = None if self.boxes is None else self.boxes.to(device)
        return Target(self.class_ids.to(device), boxes)
