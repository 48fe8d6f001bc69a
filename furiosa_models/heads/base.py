"""What heads share: checks, and the way back to the photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..images.preprocess import ImageContext

__all__ = ["Outputs", "check_contexts", "check_count", "or_default", "to_photo"]

Outputs: TypeAlias = Sequence[npt.NDArray[Any]]
Floats: TypeAlias = npt.NDArray[np.float32]
Value = TypeVar("Value")


def or_default(value: Value | None, default: Value) -> Value:
    """What was given, or the head's own."""
    return default if value is None else value


def check_count(outputs: Outputs, count: int) -> None:
    """Raise ShapeError unless there are `count` outputs."""
    if len(outputs) != count:
        msg = f"expected {count} output{'' if count == 1 else 's'}, got {len(outputs)}"
        raise ShapeError(msg)


def check_contexts(contexts: Sequence[ImageContext], batch: int) -> None:
    """Raise ShapeError unless there is a context for each photo of a batch."""
    if len(contexts) != batch:
        msg = f"expected {batch} contexts, one for each photo of the batch, got {len(contexts)}"
        raise ShapeError(msg)


def to_photo(points: Floats, context: ImageContext) -> Floats:
    """Points (..., 2k) in pixels of a letterboxed input, in pixels of the photo.

    They may lie outside of it, as in 0.10; `boxes.clip_boxes_to_image` cuts boxes.
    """
    pad = np.array(context.pad * (points.shape[-1] // 2), np.float32)
    moved: Floats = (points - pad) / np.float32(context.scale)
    return moved
