"""Run photos in tiles, and merge the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from ..images.pipeline import Speed, Steps
from ..images.read import DecodedImage
from ..tasks.base import ArrayResult
from ..tasks.instances import Instances
from ..tasks.matte import Matte
from ..tasks.segmentation import SemanticMap
from .boxes import merge_boxes
from .instances import merge_instances
from .maps import merge_maps, merge_mattes
from .tiling import OVERLAP, Part, Tile, Tiling

__all__ = ["TiledSteps"]

_TOGETHER = 8  # tiles that run in one batch
_AUTOMATIC = Tiling(None, OVERLAP)
_IOU = 0.5  # boxes of one object in two tiles differ more than those in one

_Merger: TypeAlias = Callable[[Any, Sequence[Part], float], Any]

_MERGERS: Sequence[tuple[type[Any], _Merger]] = (
    (Instances, merge_instances),
    (SemanticMap, merge_maps),
    (Matte, merge_mattes),
    (ArrayResult, merge_boxes),
)


@dataclass(frozen=True, slots=True)
class TiledSteps(Steps[Any]):
    """Steps that run each photo in tiles and, but for mattes, as a whole, and merge the results.

    Attributes:
        tiling: How photos are cut.
        input_size: Width and height of the network's input.
        iou_threshold: Maximum IoU of two objects of one class.
    """

    tiling: Tiling = _AUTOMATIC
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
        if not tiles:
            return self._run([image])[0]
        found: list[Any] = []
        for start in range(0, len(tiles), _TOGETHER):  # tiles that overlap are copies
            batch = tiles[start : start + _TOGETHER]
            found += self._run([_cut(image, tile) for tile in batch])
        merge = _merger(found[0])
        whole = None if merge is merge_mattes else self._run([image])[0]
        parts = [
            Part(result, tile, tile.inner_edges(width, height))
            for result, tile in zip(found, tiles, strict=True)
        ]
        merged = merge(whole, parts, self.iou_threshold)
        merged.speed = _total([each.speed for each in (whole, *found) if each is not None])
        return merged

    def _run(self, batch: Sequence[DecodedImage]) -> list[Any]:
        return Steps.results(self, batch)  # super() does not work with slots


def _merger(result: Any) -> _Merger:
    """Return the function that merges results of this type.

    Raises:
        TypeError: There is none.
    """
    for kind, merger in _MERGERS:
        if isinstance(result, kind):
            return merger
    known = ", ".join(kind.__name__ for kind, _ in _MERGERS)
    msg = f"tiles cannot be merged: expected a result of type {known}, got {type(result).__name__}"
    raise TypeError(msg)


def _cut(image: DecodedImage, tile: Tile) -> DecodedImage:
    pixels = image.pixels[tile.top : tile.bottom, tile.left : tile.right]
    return DecodedImage(np.ascontiguousarray(pixels), image.bgr, image.name)


def _total(speeds: Sequence[Speed | None]) -> Speed | None:
    known = [speed for speed in speeds if speed is not None]
    return Speed(*map(sum, zip(*known, strict=True))) if known else None
