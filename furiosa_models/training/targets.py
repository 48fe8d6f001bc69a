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
        masks: (n, height, width) bool, the pixels of each object on the network's input, for
            instance segmentation.
        class_map: (height, width) int64, the class of each pixel of the network's input, and -1 for
            pixels that do not count, for semantic segmentation; for mattes, 1 for the foreground
            and 0 behind.
    """

    class_ids: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None
    class_map: Tensor | None = None

    def to(self, device: Any) -> Target:
        """Return the labels on a device."""
        columns = (self.class_ids, self.boxes, self.masks, self.class_map)
        return Target(*(None if each is None else each.to(device) for each in columns))
