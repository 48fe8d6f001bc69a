"""What all losses share: checked labels, and logits from outputs of any kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import torch

from ...errors import ConfigurationError, LabelsError, ShapeError
from ..targets import Target, Tensor

__all__ = [
    "LabeledBoxes",
    "as_log_probabilities",
    "as_logits",
    "check_batch",
    "check_class_ids",
    "check_weight",
    "labeled_boxes",
    "pairs_of",
]

_MIN_PROBABILITY = 1e-12
_MIN_MARGIN = 1e-7  # the float32 below 1 that differs from it


class LabeledBoxes(NamedTuple):
    """Objects of one image.

    Attributes:
        class_ids: (n,) int64, counted without a background.
        boxes: (n, 4) float32: left, top, right, bottom, as fractions of the network's input.
    """

    class_ids: Tensor
    boxes: Tensor


def check_batch(outputs: Sequence[Tensor], count: int, targets: Sequence[Target]) -> None:
    """Check the number of outputs, and that there is an image, and one target for each.

    Raises:
        ShapeError: There is another number.
    """
    if len(outputs) != count:
        msg = f"expected {count} output{'' if count == 1 else 's'}, got {len(outputs)}"
        raise ShapeError(msg)
    images = len(outputs[0])
    if len(targets) != images or not images:
        msg = (
            f"expected {max(images, 1)} target{'' if images < 2 else 's'}, one for each image of "
            f"the batch, got {len(targets)}"
        )
        raise ShapeError(msg)


def check_class_ids(class_ids: Tensor, classes: int) -> None:
    """Check class ids against the number of classes, where they would end in a device's assertion.

    Raises:
        LabelsError: A class id is not in 0..classes - 1.
    """
    wrong = class_ids[(class_ids < 0) | (class_ids >= classes)]
    if len(wrong):
        msg = (
            f"class ids must lie between 0 and {classes - 1}, as the network has {classes} "
            f"classes, got {sorted(set(wrong.tolist()))[:5]}"
        )
        raise LabelsError(msg)


def check_weight(name: str, value: object) -> None:
    """Check a weight of a loss: less than 0 would reward mistakes.

    Raises:
        ConfigurationError: It is not a finite number of at least 0.
    """
    if not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        msg = f"{name} must be a finite number of at least 0, got {value!r}"
        raise ConfigurationError(msg)


def pairs_of(auxiliary: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return auxiliary outputs that alternate as the two outputs of each layer.

    Raises:
        ShapeError: Their number is odd.
    """
    if len(auxiliary) % 2:
        msg = f"expected two auxiliary outputs of each layer, got {len(auxiliary)} outputs"
        raise ShapeError(msg)
    return list(zip(auxiliary[::2], auxiliary[1::2], strict=True))


def labeled_boxes(
    target: Target, size: tuple[int, int], classes: int, device: torch.device
) -> LabeledBoxes:
    """Return the objects of an image as fractions of the network's input, on a device.

    Objects that cannot be learned are left out: boxes without an area, boxes that are not finite,
    and boxes outside the image. Boxes that are partly outside stay as they are.

    Args:
        target: Labels of the image.
        size: Height and width of the network's input.
        classes: Number of classes, without a background.
        device: Device of the result.

    Raises:
        ShapeError: There are no boxes, or there is not one class id for each box.
        LabelsError: A class id does not belong to the network's classes.
    """
    ids, boxes = target.class_ids, target.boxes
    if boxes is None or boxes.ndim != 2 or boxes.shape[1] != 4 or ids.shape != boxes.shape[:1]:
        got = "no boxes" if boxes is None else f"boxes {tuple(boxes.shape)}"
        msg = f"a detector's target has class ids (n,) and boxes (n, 4), got {tuple(ids.shape)} "
        raise ShapeError(msg + f"and {got}")
    check_class_ids(ids, classes)
    height, width = size
    boxes = boxes.float() / boxes.new_tensor([width, height, width, height], dtype=torch.float32)
    low, high = boxes.split(2, dim=1)
    has_area = ((high > low) & (high > 0) & (low < 1)).all(dim=1)
    valid = has_area & boxes.isfinite().all(dim=1)
    return LabeledBoxes(ids[valid].long().to(device), boxes[valid].to(device))


def as_logits(probabilities: Tensor) -> Tensor:
    """Return the logits of a sigmoid's results; those next to 0 and 1 have no gradient."""
    return torch.logit(probabilities, eps=_MIN_MARGIN)


def as_log_probabilities(probabilities: Tensor) -> Tensor:
    """Return logarithms of a softmax's results; those next to 0 have no gradient."""
    return probabilities.clamp(min=_MIN_PROBABILITY).log()
