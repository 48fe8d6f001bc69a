"""Loss of YOLOv5 (Jocher 2020), versions 6 and 7.

An anchor learns an object if neither side is four times longer than the other's. It does so in the
cell that contains the object's center, and in the nearest neighbors to the left or right, and above
or below, as predicted centers may lie half a cell outside their cell. The loss of a box is 1 - CIoU
(Zheng et al. 2019, arXiv:1911.08287); the objectness learns its IoU; and each class is a binary
classifier. Fine levels weigh more in the objectness.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConfigurationError, ShapeError
from ...heads.yolo import BOX_CHANNELS, YOLOv5Head
from ...ops.checks import check_unit
from ..targets import Target, Tensor
from .common import as_logits, check_batch, check_weight, labeled_boxes

__all__ = ["YOLOv5Loss"]

_BALANCE = {3: (4.0, 1.0, 0.4)}  # of the objectness, by the number of levels
_OTHER_BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)
_REFERENCE_LEVELS, _REFERENCE_CLASSES, _REFERENCE_SIZE = 3, 80, 640  # of which gains are true
_SHIFTS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))
_EPSILON = 1e-7


@dataclass(frozen=True, slots=True)
class YOLOv5Loss:
    """Losses of boxes, objectness and classes.

    Gains are those of a network with three levels, 80 classes and 640 x 640 pixels, and are scaled
    to others. Losses are means over the batch; Ultralytics' sum is this one times the batch size.

    Attributes:
        head: Head of the network.
        box_gain: Weight of the box loss.
        objectness_gain: Weight of the objectness loss; it is scaled with the image's area.
        class_gain: Weight of the class loss; it is scaled with the number of classes.
        anchor_ratio: Limit of the ratio of an object's sides to an anchor's.
        label_smoothing: Part of the class label that is spread, in 0..1: the labels are 1 - half of
            it, and half of it.

    Raises:
        ConfigurationError: A gain is negative, `anchor_ratio` is at most 1, or there are more than
            five levels.
        ValueError: `label_smoothing` is not between 0 and 1.
    """

    head: YOLOv5Head
    box_gain: float = 0.05
    objectness_gain: float = 1.0
    class_gain: float = 0.5
    anchor_ratio: float = 4.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_unit("label_smoothing", self.label_smoothing)
        for name in ("box_gain", "objectness_gain", "class_gain"):
            check_weight(name, getattr(self, name))
        if not self.anchor_ratio > 1:
            msg = f"anchor_ratio must be above 1, got {self.anchor_ratio!r}"
            raise ConfigurationError(msg)
        if len(self.head.strides) > len(_OTHER_BALANCE):
            msg = f"the loss has weights for {len(_OTHER_BALANCE)} levels, got {self.head.strides}"
            raise ConfigurationError(msg)

    def __call__(
        self, outputs: Sequence[Tensor], targets: Sequence[Target], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return `loss_box`, `loss_objectness` and `loss_class`; see `Loss`.

        Args:
            outputs: A map (n, a * (5 + c), h, w) or (n, a, h, w, 5 + c) for each level, logits or
                the results of a sigmoid, as the head says.
            targets: Objects of each image.
            size: Height and width of the network's input.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id does not belong to the network's classes.
        """
        levels = len(self.head.strides)
        check_batch(outputs, levels, targets)
        maps = _maps(outputs, self.head.anchors.shape[1])
        device, classes = maps[0].device, maps[0].shape[2] - BOX_CHANNELS
        objects = _Objects.of(targets, size, classes, device)
        anchors = torch.tensor(self.head.anchors, device=device)
        balance = _BALANCE.get(levels, _OTHER_BALANCE[:levels])
        losses = torch.zeros(3, device=device)
        for values, sides, weight in zip(maps, anchors, balance, strict=True):
            matches = _match(objects, sides, values.shape[-2:], self.anchor_ratio)
            parts = self._level(values, objects, matches)
            losses = losses + parts * parts.new_tensor([1.0, weight, 1.0])
        box, objectness, of_classes = losses * losses.new_tensor(self._gains(size, classes))
        return {"loss_box": box, "loss_objectness": objectness, "loss_class": of_classes}

    def _gains(self, size: tuple[int, int], classes: int) -> list[float]:
        share = _REFERENCE_LEVELS / len(self.head.strides)
        area = size[0] * size[1] / _REFERENCE_SIZE**2
        return [
            self.box_gain * share,
            self.objectness_gain * share * area,
            self.class_gain * share * classes / _REFERENCE_CLASSES,
        ]

    def _level(self, values: Tensor, objects: _Objects, matches: _Matches) -> Tensor:
        """Return the losses of boxes, objectness and classes of a level, (3,)."""
        inside = self.head.sigmoid_inside
        logits = as_logits(values[:, :, 4]) if inside else values[:, :, 4]
        expected = torch.zeros_like(logits)
        box_loss = class_loss = expected.sum()
        if len(matches.objects):
            place = objects.images[matches.objects], matches.anchors, *matches.cells.T.flip(0)
            rows = values[place[0], place[1], :, place[2], place[3]]
            boxes = rows[:, :4] if inside else rows[:, :4].sigmoid()
            iou = _complete_iou(matches.predicted(boxes), matches.boxes)
            box_loss = (1 - iou).mean()
            # Of several objects at one place, the best one counts, in any order of the objects.
            flat = torch.zeros_like(expected).flatten()
            index = _flat_index(place, expected.shape)
            found = iou.detach().clamp(min=0)
            expected = flat.scatter_reduce(0, index, found, "amax").view_as(expected)
            class_loss = self._class_loss(
                rows[:, BOX_CHANNELS:], objects.class_ids[matches.objects]
            )
        objectness = F.binary_cross_entropy_with_logits(logits, expected)
        return torch.stack((box_loss, objectness, class_loss))

    def _class_loss(self, scores: Tensor, class_ids: Tensor) -> Tensor:
        """Return the loss of the classes, which is 0 for a single one: it is the objectness."""
        classes = scores.shape[1]
        if classes == 1:
            return scores.new_zeros(())
        logits = as_logits(scores) if self.head.sigmoid_inside else scores
        expected = F.one_hot(class_ids, classes).to(logits.dtype)
        smooth = self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, expected * (1 - 2 * smooth) + smooth)


class _Objects(NamedTuple):
    """Objects of a batch.

    Attributes:
        images: (n,) int64: place of its image in the batch.
        class_ids: (n,) int64.
        boxes: (n, 4) cxcywh, as fractions of the network's input.
    """

    images: Tensor
    class_ids: Tensor
    boxes: Tensor

    @classmethod
    def of(
        cls, targets: Sequence[Target], size: tuple[int, int], classes: int, device: torch.device
    ) -> _Objects:
        found = [labeled_boxes(target, size, classes, device) for target in targets]
        images = [torch.full_like(each.class_ids, i) for i, each in enumerate(found)]
        low, high = torch.cat([each.boxes for each in found]).split(2, dim=1)
        boxes = torch.cat(((low + high) / 2, high - low), dim=1)
        return cls(torch.cat(images), torch.cat([each.class_ids for each in found]), boxes)


class _Matches(NamedTuple):
    """Places of a level that learn an object.

    Attributes:
        objects: (m,) int64: index of the object.
        anchors: (m,) int64: index of the anchor.
        cells: (m, 2) int64: column and row.
        boxes: (m, 4): the object's box cxcywh, in cells from the cell's corner.
        sides: (m, 2): width and height of the anchor, in cells.
    """

    objects: Tensor
    anchors: Tensor
    cells: Tensor
    boxes: Tensor
    sides: Tensor

    def predicted(self, values: Tensor) -> Tensor:
        """Return the boxes cxcywh that the results of a sigmoid (m, 4) stand for."""
        center, side = values.split(2, dim=1)
        return torch.cat((center * 2 - 0.5, (side * 2) ** 2 * self.sides), dim=1)


def _match(objects: _Objects, anchors: Tensor, shape: Sequence[int], max_ratio: float) -> _Matches:
    """Return the places of a level that learn an object.

    Args:
        objects: Objects of the batch.
        anchors: (a, 2): width and height of the level's anchors, in cells.
        shape: Height and width of the level's map.
        max_ratio: Limit of the ratio of sides.
    """
    height, width = shape
    grid = anchors.new_tensor([width, height])
    center, side = (part * grid for part in objects.boxes.split(2, dim=1))
    ratio = side[:, None] / anchors
    fits = torch.maximum(ratio, 1 / ratio).amax(dim=2) < max_ratio
    index, anchor = fits.nonzero(as_tuple=True)
    middle = center[index]
    # A neighbor that is at the border of the image has no neighbor beyond it.
    before = (middle % 1 < 0.5) & (middle > 1)
    after = ((grid - middle) % 1 < 0.5) & (grid - middle > 1)
    own = torch.ones_like(before[:, :1])
    row, shift = torch.cat((own, before, after), dim=1).nonzero(as_tuple=True)
    index, anchor = index[row], anchor[row]
    cells = (center[index] - anchors.new_tensor(_SHIFTS)[shift]).long()
    cells = torch.minimum(cells.clamp(min=0), grid.long() - 1)
    boxes = torch.cat((center[index] - cells, side[index]), dim=1)
    return _Matches(index, anchor, cells, boxes, anchors[anchor])


def _maps(outputs: Sequence[Tensor], anchors: int) -> list[Tensor]:
    """Return outputs as float32 maps (n, a, 5 + c, h, w).

    Raises:
        ShapeError: An output has another shape than the first, or too few channels.
    """
    maps = []
    for i, output in enumerate(outputs):
        if output.ndim == 4 and output.shape[1] % anchors == 0:
            maps.append(output.unflatten(1, (anchors, -1)).float())
        elif output.ndim == 5 and output.shape[1] == anchors:
            maps.append(output.movedim(4, 2).float())
        else:
            msg = (
                f"output {i} must have shape (n, {anchors} * (5 + c), h, w) or "
                f"(n, {anchors}, h, w, 5 + c), got {tuple(output.shape)}"
            )
            raise ShapeError(msg)
    images, channels = maps[0].shape[0], maps[0].shape[2]
    if channels <= BOX_CHANNELS:
        msg = f"an anchor needs 5 channels and one for each class, got {channels}"
        raise ShapeError(msg)
    for i, each in enumerate(maps):
        if each.shape[0] != images or each.shape[2] != channels:
            msg = (
                f"output {i} must have {images} images and {channels} channels for each anchor, "
                f"as the first one, got {tuple(outputs[i].shape)}"
            )
            raise ShapeError(msg)
    return maps


def _flat_index(place: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Return the index in a flattened array of this shape."""
    index = place[0]
    for part, length in zip(place[1:], shape[1:], strict=True):
        index = index * length + part
    return index


def _complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the CIoU of pairs of boxes cxcywh, (m,) in -1..1."""
    (center_a, side_a), (center_b, side_b) = first.split(2, dim=1), second.split(2, dim=1)
    low_a, high_a = center_a - side_a / 2, center_a + side_a / 2
    low_b, high_b = center_b - side_b / 2, center_b + side_b / 2
    shared = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(dim=1)
    union = side_a.prod(dim=1) + side_b.prod(dim=1) - shared + _EPSILON
    iou = shared / union
    around = torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)
    diagonal = around.square().sum(dim=1) + _EPSILON
    distance = (center_a - center_b).square().sum(dim=1) / diagonal
    slopes = [torch.atan2(side[:, 0], side[:, 1]) for side in (side_a, side_b)]
    difference = (slopes[0] - slopes[1]).square() * (4 / math.pi**2)
    with torch.no_grad():
        weight = difference / (difference - iou + 1 + _EPSILON)
    return iou - distance - difference * weight
