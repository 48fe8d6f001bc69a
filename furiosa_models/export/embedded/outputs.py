"""What a decoder of a graph gets: the network's outputs, the placement and the options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...errors import ConversionError
from ...spec import ImageInput
from .builder import Builder
from .photo import Placement
from .suppression import Candidates
from .values import Value

__all__ = ["Raw", "Scene", "best_detections", "map_size"]


class Raw(NamedTuple):
    """An output of the network for one photo.

    Attributes:
        value: The tensor; its first axis is the batch, of length 1.
        shape: Its shape; None for a length that the graph does not tell.
    """

    value: Value
    shape: tuple[int | None, ...]

    @property
    def of_photo(self) -> Value:
        """The tensor without the axis of the batch."""
        return self.value.squeeze(0)


class Scene(NamedTuple):
    """Everything a decoder needs beside its head.

    Attributes:
        g: The builder.
        outputs: The outputs of the network; float16 and integers other than class ids are float32.
        input: Input specification of the network.
        placement: Where the photo lies on the input.
        options: The options of the task by name: scalars that a user may override.
        classes: Number of labels.
    """

    g: Builder
    outputs: list[Raw]
    input: ImageInput
    placement: Placement
    options: Mapping[str, Value]
    classes: int

    def corners_to_photo(self, boxes: Value) -> Value:
        """Convert boxes `(n, 4)` from pixels of the input to pixels of the photo."""
        return self.placement.to_photo(boxes.reshape(-1, 2, 2)).reshape(-1, 4)


def best_detections(scene: Scene, found: Candidates, kept: Value) -> dict[str, Value]:
    """Return the outputs of a detector for some of its candidates, whose boxes are on the input."""
    best = found.take(kept)
    return {
        "boxes": scene.corners_to_photo(best.boxes),
        "scores": best.scores,
        "classes": best.classes.cast(np.int64),
    }


def map_size(scene: Scene) -> tuple[int, int]:
    """Return height and width of the maps of a network, which all have the same.

    Raises:
        ConversionError: The graph does not tell them.
    """
    height, width = scene.outputs[0].shape[2:4]
    if height is None or width is None:
        shapes = [output.shape for output in scene.outputs]
        msg = f"the size of maps must be known, got {shapes}: export the network with fixed shapes"
        raise ConversionError(msg)
    return height, width
