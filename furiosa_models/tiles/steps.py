"""Run photos in tiles, and merge the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..images.pipeline import Speed, Steps
from ..images.read import DecodedImage
from .boxes import best_of, uncut
from .tiling import OVERLAP, Tile, Tiling

__all__ = ["TiledSteps"]

_TOGETHER = 8  # tiles that run in one batch
_IOU = 0.5  # boxes of one object in two tiles differ more than those in one


@dataclass(frozen=True, slots=True)
class TiledSteps(Steps[Any]):
    """Steps that run each photo as a whole and in tiles, and merge the results.

    Attributes:
        tiling: How photos are cut.
        input_size: Width and height of the network's input.
        iou_threshold: Maximum IoU of two objects of one class.
    """

    tiling: Tiling = Tiling(None, OVERLAP)
    input_size: tuple[int, int] = (0, 0)
    iou_threshold: float = _IOU

    @classmethod
    def of(
        cls,
        steps: Steps[Any],
        tiling: Tiling,
        input_size: tuple[int, int],
        iou_threshold: float | None,
        heads_threshold: float | None,
    ) -> TiledSteps:
        """Return the tiled form of steps.

        Args:
            steps: The steps of whole photos.
            tiling: How photos are cut.
            input_size: Width and height of the network's input.
            iou_threshold: Maximum IoU of two objects of one class; None for 0.5 or that of the
                head, whichever is less.
            heads_threshold: That of the head, if it has one.
        """
        own = {each.name: getattr(steps, each.name) for each in fields(steps)}
        # Tiles are cut from the photo at full size.
        own |= {"draft": None, "needed": None}
        limit = iou_threshold
        if limit is None:
            limit = _IOU if heads_threshold is None else min(_IOU, heads_threshold)
        return cls(**own, tiling=tiling, input_size=input_size, iou_threshold=limit)

    def results(self, images: Sequence[DecodedImage]) -> list[Any]:
        """Return the merged result of each photo; its speed is that of all tiles together."""
        return [self._merged(image) for image in images]

    def _merged(self, image: DecodedImage) -> Any:
        height, width = image.pixels.shape[:2]
        tiles = self.tiling.cut(width, height, self.input_size)
        parts = [_cut(image, tile) for tile in tiles]
        whole, *found = [each for batch in _batches([image, *parts]) for each in self._run(batch)]
        if not tiles:
            return whole
        pairs = zip(found, tiles, strict=True)
        moved = [uncut(part, tile, width, height) for part, tile in pairs]
        every = whole.joined(
            [part.moved(t.left, t.top) for part, t in zip(moved, tiles, strict=True)]
        )
        kept = every[best_of(every, self.iou_threshold)]
        kept.speed = _total([whole.speed, *(part.speed for part in found)])
        return kept

    def _run(self, batch: Sequence[DecodedImage]) -> list[Any]:
        return Steps.results(self, batch)  # super() does not work with slots


def _batches(images: Sequence[DecodedImage]) -> Iterator[Sequence[DecodedImage]]:
    for start in range(0, len(images), _TOGETHER):
        yield images[start : start + _TOGETHER]


def _cut(image: DecodedImage, tile: Tile) -> DecodedImage:
    pixels = image.pixels[tile.top : tile.bottom, tile.left : tile.right]
    return DecodedImage(np.ascontiguousarray(pixels), image.bgr, image.name)


def _total(speeds: Sequence[Speed | None]) -> Speed | None:
    known = [speed for speed in speeds if speed is not None]
    return Speed(*map(sum, zip(*known, strict=True))) if known else None
