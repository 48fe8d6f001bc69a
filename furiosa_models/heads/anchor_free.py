"""Heads of anchor-free networks with outputs per grid cell: YOLOX and NanoDet.

YOLOX (Ge et al. 2021, arXiv:2107.08430): each cell has the offset of the box's center in cells, the
logarithms of its width and height in cells, objectness and class scores. NanoDet (based on
Generalized Focal Loss, Li et al. 2020, arXiv:2006.04388): each cell has class scores and, for each
side of the box, a distribution of the distance from the cell's center, in cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..enums import Platform
from ..errors import ShapeError
from ..labels import class_names
from ..ops.scores import softmax
from ..spec import GraphFacts, Head, ImageContext, ImageInput
from ..tasks.detection import DETECTION, Detections, DetectionTask
from .boxes import BoxesHead

__all__ = ["GridHead", "grid_cells"]

Floats: TypeAlias = npt.NDArray[np.float32]

_YOLOX_STRIDES = (8, 16, 32)
_NANODET_MEAN, _NANODET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class GridHead(Head):
    """Head of YOLOX and NanoDet, which have outputs per grid cell and no anchors.

    Attributes:
        size: Height and width of the network's input, in pixels.
        kind: `yolox` or `nanodet`.
        strides: Stride of each level, in pixels.
        bins: Number of bins of NanoDet's distance distributions.
        score_threshold: Score threshold in 0..1; scores must exceed it.
        iou_threshold: Maximum IoU of two detections of one class, in 0..1.
        multi_label: Whether a cell gives a detection for each of its classes above the threshold,
            as in the authors' evaluation, rather than for the best one.
    """

    task: ClassVar[DetectionTask] = DETECTION

    size: tuple[int, int]
    kind: Literal["yolox", "nanodet"] = "yolox"
    strides: tuple[int, ...] = _YOLOX_STRIDES
    bins: int = 8
    score_threshold: float = 0.3
    iou_threshold: float = 0.45
    multi_label: bool = False

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the authors' input specification: YOLOX takes BGR in 0..255, padded at the end."""
        del graph
        if self.kind == "yolox":
            return ImageInput(size=self.size, resize="letterbox", pad_at="end", color="bgr")
        return ImageInput(
            size=self.size, resize="stretch", color="bgr", mean=_NANODET_MEAN, std=_NANODET_STD
        )

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels; see `Head.with_labels`."""
        widths = [output.shape[-1] for output in graph.outputs]
        if len(widths) == 1:
            width, other_columns = widths[0], 5 if self.kind == "yolox" else 4 * self.bins
        else:  # separate maps of scores and distances
            width, other_columns = next((w for w in widths if w != 4 * self.bins), None), 0
        return self, labels or () if width is None else class_names(labels, width - other_columns)

    def decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        names: Sequence[str],
        platform: Platform,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
    ) -> list[Detections]:
        """Return the detections of each photo; see `BoxesHead.decode`.

        Raises:
            ShapeError: Outputs or contexts have the wrong count or shape.
            ValueError: A threshold is not between 0 and 1.
        """
        cells = grid_cells(self.size, self.strides)
        decode = self._yolox if self.kind == "yolox" else self._nanodet
        rows = decode([np.asarray(output, np.float32) for output in outputs], cells)
        return self.boxes_head().decode(
            [rows],
            contexts,
            names,
            platform,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
        )

    def boxes_head(self) -> BoxesHead:
        """Return the head of the decoded rows: boxes in pixels of the input, then scores."""
        return BoxesHead(
            self.size,
            objectness=self.kind == "yolox",
            box_format="cxcywh" if self.kind == "yolox" else "xyxy",
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            multi_label=self.multi_label,
        )

    def _yolox(self, outputs: Sequence[Floats], cells: Floats) -> Floats:
        rows: Floats = outputs[0]
        self._check(rows.shape[1], len(cells))
        rows = rows.copy()
        rows[..., :2] = (rows[..., :2] + cells[:, :2]) * cells[:, 2:]
        with np.errstate(over="ignore"):
            rows[..., 2:4] = np.exp(rows[..., 2:4]) * cells[:, 2:]
        return rows

    def _nanodet(self, outputs: Sequence[Floats], cells: Floats) -> Floats:
        if len(outputs) == 1:
            scores = outputs[0][..., : -4 * self.bins]
            distances = outputs[0][..., -4 * self.bins :]
        else:
            finest_first = sorted(outputs, key=lambda output: -output.shape[1])
            sides = [o for o in finest_first if o.shape[-1] == 4 * self.bins]
            classes = [o for o in finest_first if o.shape[-1] != 4 * self.bins]
            distances, scores = np.concatenate(sides, axis=1), np.concatenate(classes, axis=1)
        self._check(scores.shape[1], len(cells))
        parts = softmax(distances.reshape(-1, self.bins)).reshape(*distances.shape[:2], 4, -1)
        offsets = (parts @ np.arange(self.bins, dtype=np.float32)) * cells[:, 2:]
        center = (cells[:, :2] + np.float32(0.5)) * cells[:, 2:]
        corners = np.concatenate((center - offsets[..., :2], center + offsets[..., 2:]), axis=2)
        found: Floats = np.concatenate((corners, scores), axis=2)
        return found

    def _check(self, rows: int, cells: int) -> None:
        if rows != cells:
            msg = (
                f"expected {cells} cells for size {self.size} and strides {self.strides}, "
                f"got {rows}"
            )
            raise ShapeError(msg)


@lru_cache(maxsize=8)
def grid_cells(size: tuple[int, int], strides: tuple[int, ...]) -> Floats:
    """Return column, row and stride (pixels) of every cell, `(n, 3)` float32."""
    found = []
    for stride in strides:
        height, width = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.mgrid[:height, :width].reshape(2, -1)
        found.append(np.stack((x, y, np.full_like(x, stride)), axis=1))
    return np.concatenate(found).astype(np.float32)
