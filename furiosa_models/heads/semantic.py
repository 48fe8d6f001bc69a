"""Heads of semantic segmentation: scores of classes, or class ids, for each pixel of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops.checks import check_contexts
from ..ops.masks import choose_classes, nearest_classes, photo_axes
from ..spec import ClassChannels, GraphFacts, Head, ImageContext, ImageInput, TensorFacts
from ..tasks.segmentation import SEMANTIC, SemanticMap, SemanticTask

__all__ = ["MapLayout", "SemanticHead", "map_of"]

MapLayout = Literal["channels_first", "channels_last"]
"""Order of the dimensions of maps: (n, channels, h, w) or (n, h, w, channels)."""


@dataclass(frozen=True, slots=True)
class SemanticHead(Head):
    """Head of networks that give a score of each class, or a class id, for each pixel of a map.

    Scores may be logits or probabilities: softmax does not change which is the best. The map may be
    smaller than the network's input. Scores are resized bilinearly to the photo before the best
    class is chosen; of class ids, the nearest one is taken.

    Attributes:
        size: Height and width of the network's input, in pixels.
        output: Index of the output with the map; others are ignored.
        kind: Whether the output has `scores` or class ids (`classes`).
        layout: Order of the dimensions of scores; class ids have one channel or none.
        align_corners: Whether the corners of the map are the centers of the input's corner pixels
            (TensorFlow's and PyTorch's `align_corners`), rather than their outer edges. A map of
            the input's size is the same in both.
    """

    task: ClassVar[SemanticTask] = SEMANTIC

    size: tuple[int, int]
    output: int = 0
    kind: Literal["scores", "classes"] = "scores"
    layout: MapLayout = "channels_first"
    align_corners: bool = False

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph: this one, for the size of its input.

        Raises:
            ShapeError: The graph has no such output.
        """
        if self.output >= len(graph.outputs):
            msg = f"expected a map as output {self.output}, got {graph.shapes}"
            raise ShapeError(msg)
        return replace(self, size=graph.image_size)

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the input specification of torchvision's networks, or of TensorFlow's."""
        if graph.is_of_tensorflow:
            middle = (127.5, 127.5, 127.5)
            return ImageInput(size=self.size, mean=middle, std=middle)
        return ImageInput(
            size=self.size, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
        )

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`.

        Raises:
            LabelsError: The number of labels is not that of the classes.
        """
        output = graph.outputs[self.output]
        axis = 1 if self.layout == "channels_first" else -1
        count = output.classes if self.kind == "classes" else output.shape[axis]
        if count is None:
            return self, labels or ()
        return self, class_names(labels, count)

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels are arranged; see `Head.class_channels`.

        Raises:
            ShapeError: The output has class ids, or its channels are the last axis.
        """
        if self.kind == "classes" or self.layout == "channels_last":
            msg = (
                "the classes of a semantic network can be replaced if its output has scores, "
                f"(n, classes, h, w), got {self.kind} with {self.layout}"
            )
            raise ShapeError(msg)
        count = len(outputs)
        return [ClassChannels() if index == self.output else None for index in range(count)]

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
    ) -> list[SemanticMap]:
        """Return the class of each pixel of each photo of a batch.

        Args:
            outputs: Outputs of the network; one has a map of float32 scores or of integers.
            contexts: Contexts from `preprocess`, one per photo.
            names: Table of labels.
            platform: RUST or PYTHON (numpy); both give the same classes.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype, or the number of
                classes is not that of the labels.
        """
        maps = map_of(outputs, self.output)
        check_contexts(contexts, len(maps))
        if self.kind == "classes":
            ids = maps.reshape(len(maps), *[n for n in maps.shape[1:] if n != 1] or [1, 1])
            return [self._nearest(*pair, names) for pair in zip(ids, contexts, strict=True)]
        if maps.ndim != 4:
            msg = f"expected a map of scores with 4 dimensions, got the shape {maps.shape}"
            raise ShapeError(msg)
        scores = maps if self.layout == "channels_first" else maps.transpose(0, 3, 1, 2)
        if names and scores.shape[1] != len(names):
            msg = f"expected scores of {len(names)} classes, got {scores.shape[1]}: {maps.shape}"
            raise ShapeError(msg)
        scores = scores.astype(np.float32, copy=False)
        found = []
        for image, context in zip(scores, contexts, strict=True):
            height, width = image.shape[1:]
            place = photo_axes(
                context, self.size, (height, width), align_corners=self.align_corners
            )
            found.append(SemanticMap(choose_classes(image, *place, platform=platform), names))
        return found

    def _nearest(
        self, ids: npt.NDArray[Any], context: ImageContext, names: Sequence[str]
    ) -> SemanticMap:
        if ids.ndim != 2:
            msg = f"expected a map of class ids with one channel, got the shape {ids.shape}"
            raise ShapeError(msg)
        height, width = ids.shape
        place = photo_axes(context, self.size, (height, width), align_corners=self.align_corners)
        if np.issubdtype(ids.dtype, np.floating):  # ArgMax of TensorFlow.js and of CoreML
            ids = ids.astype(np.int64)
        return SemanticMap(nearest_classes(ids, *place), names)


def map_of(outputs: Sequence[npt.NDArray[Any]], index: int) -> npt.NDArray[Any]:
    """Return the output of a network that has a map.

    Raises:
        ShapeError: There is no such output, or it has less than three dimensions.
    """
    if index >= len(outputs):
        msg = f"expected a map as output {index}, got {len(outputs)} outputs"
        raise ShapeError(msg)
    found = np.asarray(outputs[index])
    if found.ndim not in (3, 4) or not found.size:
        msg = f"expected a map, (n, channels, h, w) or (n, h, w), got the shape {found.shape}"
        raise ShapeError(msg)
    return found
