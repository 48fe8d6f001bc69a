"""Head of mattes: the opacity of the foreground for each pixel of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import LabelsError, ShapeError
from ..ops.checks import check_contexts
from ..ops.masks import photo_axes, resize_alpha
from ..ops.scores import sigmoid
from ..spec import GraphFacts, Head, ImageContext, ImageInput
from ..tasks.matte import FOREGROUND, MATTE, Matte, MatteTask
from .semantic import MapLayout, map_of

__all__ = ["MatteHead"]


@dataclass(frozen=True, slots=True)
class MatteHead(Head):
    """Head of networks that give the opacity of the foreground for each pixel of a map.

    Attributes:
        size: Height and width of the network's input, in pixels.
        output: Index of the output with the matte; U-2-Net and IS-Net have others behind it.
        activation: `none` if the outputs are opacities in 0..1, `sigmoid` if they are logits.
        normalize: Whether to stretch the opacities of each photo to the whole range 0..1, as the
            authors of U-2-Net do; a constant map becomes 0.
        channel: Channel of the map with the foreground.
        layout: Order of the dimensions of the map.
        align_corners: See `SemanticHead`.
    """

    task: ClassVar[MatteTask] = MATTE

    size: tuple[int, int]
    output: int = 0
    activation: Literal["none", "sigmoid"] = "none"
    normalize: bool = False
    channel: int = 0
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
        """Return the input specification of U-2-Net, or that of MediaPipe for TensorFlow.

        U-2-Net divides a photo by its brightest value where this divides it by 255.
        """
        if graph.is_of_tensorflow:
            return ImageInput(size=self.size, std=(255.0, 255.0, 255.0))
        return ImageInput(
            size=self.size, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
        )

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the label of the foreground, `foreground` by default.

        Raises:
            LabelsError: There is not exactly one label.
        """
        del graph
        if labels is not None and len(labels) != 1:
            few = ", ".join(labels[:3])
            msg = f"a matte has one label, that of the foreground, got {len(labels)} ({few}, ...)"
            raise LabelsError(msg)
        return self, labels or (FOREGROUND,)

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
    ) -> list[Matte]:
        """Return the matte of each photo of a batch.

        Args:
            outputs: Outputs of the network; one has a float32 map.
            contexts: Contexts from `preprocess`, one per photo.
            names: Label of the foreground.
            platform: RUST or PYTHON (numpy); both give the same bytes.

        Raises:
            ShapeError: Outputs or contexts have the wrong count, shape or dtype.
        """
        maps = map_of(outputs, self.output)
        if maps.ndim == 4:
            axis = 1 if self.layout == "channels_first" else 3
            if self.channel >= maps.shape[axis]:
                msg = f"expected channel {self.channel} of a matte, got the shape {maps.shape}"
                raise ShapeError(msg)
            maps = maps.take(self.channel, axis)
        check_contexts(contexts, len(maps))
        if not np.issubdtype(maps.dtype, np.floating):
            msg = f"expected a matte of floating-point numbers, got {maps.dtype}"
            raise ShapeError(msg)
        label = names[0] if names else FOREGROUND
        found = []
        for values, context in zip(maps.astype(np.float32, copy=False), contexts, strict=True):
            height, width = values.shape
            place = photo_axes(
                context, self.size, (height, width), align_corners=self.align_corners
            )
            opacity, limits = self._opacity(values)
            alpha = resize_alpha(opacity, *place, platform=platform)
            found.append(Matte(alpha, label, stretched_from=limits))
        return found

    def _opacity(
        self, values: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], tuple[float, float] | None]:
        """Return the opacities of a map, and what they were stretched from, if they were."""
        if self.activation == "sigmoid":
            values = sigmoid(values)
        if not self.normalize:
            return values, None
        known = values[np.isfinite(values)]
        if not known.size:
            return np.zeros_like(values), (0.0, 0.0)
        low, high = known.min(), known.max()
        limits = float(low), float(high)
        if low == high:
            return np.zeros_like(values), limits
        return (values - low) / (high - low), limits
