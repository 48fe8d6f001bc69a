"""Losses of maps: cross-entropy of the class of each pixel, and of the foreground of mattes.

Maps are enlarged to the size of the network's input before they are compared, as for decoding.
Pixels without a label do not count.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConfigurationError, LabelsError, ShapeError
from ...heads.matte import MatteHead
from ...heads.semantic import SemanticHead
from ..targets import Target, Tensor
from .common import as_log_probabilities, as_logits, check_batch, check_class_ids, check_weight

__all__ = ["MatteLoss", "SemanticLoss"]

_UNLABELED = -1
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class SemanticLoss:
    """Cross-entropy of the class of each pixel, the mean over the pixels of a batch.

    Scores may be logits or, if the graph ends in a softmax, probabilities.

    Attributes:
        head: Head of the network.
        class_weights: Weight of each class; None for equal weights. The mean is weighted, too, so
            that only their proportions count; 0 leaves a class out.

    Raises:
        ConfigurationError: The graph returns class ids, which have no gradient; or a weight is not
            a finite number of at least 0.
    """

    head: SemanticHead
    class_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.head.kind == "classes":
            msg = (
                "the graph ends in class ids, which have no gradient: train the graph without "
                "ArgMax, whose output has scores"
            )
            raise ConfigurationError(msg)
        weights: Any = () if self.class_weights is None else self.class_weights
        for i, weight in enumerate(weights.tolist() if torch.is_tensor(weights) else weights):
            check_weight(f"class_weights[{i}]", weight)

    def __call__(
        self, outputs: Sequence[Tensor], targets: Sequence[Target], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return `loss_class`; see `Loss`.

        Args:
            outputs: Outputs of the network, one of which is a map of scores.
            targets: The class of each pixel of each image.
            size: Height and width of the network's input.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id, or the number of weights, does not fit the network's classes.
        """
        scores = _map(outputs, self.head, targets)
        classes = scores.shape[1]
        if _are_probabilities(scores):
            scores = as_log_probabilities(scores)
        scores = _enlarged(scores, size, align_corners=self.head.align_corners)
        expected = _class_maps(targets, size, scores.device)
        check_class_ids(expected[expected != _UNLABELED].unique(), classes)
        weights = self._weights(scores)
        total = F.cross_entropy(scores, expected, weights, ignore_index=_UNLABELED, reduction="sum")
        known = expected[expected != _UNLABELED]
        count = float(len(known) if weights is None else weights[known].sum())
        return {"loss_class": total / (count or 1.0)}

    def _weights(self, scores: Tensor) -> Tensor | None:
        if self.class_weights is None:
            return None
        if len(self.class_weights) != scores.shape[1]:
            msg = f"expected a weight for each of {scores.shape[1]} classes, got "
            raise LabelsError(msg + str(len(self.class_weights)))
        return scores.new_tensor([float(weight) for weight in self.class_weights])


@dataclass(frozen=True, slots=True)
class MatteLoss:
    """Binary cross-entropy of the foreground, the mean over the pixels of a batch.

    Networks with maps at several levels, such as U-2-Net, learn all of them (auxiliary outputs),
    and their losses are added, as by Qin et al. 2020.

    Attributes:
        head: Head of the network.
    """

    takes_auxiliary: ClassVar[bool] = True

    head: MatteHead

    def __call__(
        self,
        outputs: Sequence[Tensor],
        targets: Sequence[Target],
        size: tuple[int, int],
        auxiliary: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Return `loss_matte`; see `Loss`.

        Args:
            outputs: Outputs of the network, one of which is the map of the foreground.
            targets: Class 1 for pixels of the foreground of each image, 0 behind.
            size: Height and width of the network's input.
            auxiliary: Maps of other levels, of the same kind.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
        """
        head, channel = self.head, self.head.channel
        found = _map(outputs, head, targets)
        if channel >= found.shape[1]:
            msg = f"expected the foreground in channel {channel}, got a map {tuple(found.shape)}"
            raise ShapeError(msg)
        maps = [found[:, channel : channel + 1]]
        for each in auxiliary:
            if each.ndim != 4 or each.shape[:2] != (len(targets), 1):
                msg = f"expected auxiliary maps ({len(targets)}, 1, h, w), got {tuple(each.shape)}"
                raise ShapeError(msg)
        maps += [each.float() for each in auxiliary]
        logits = [each if head.activation == "sigmoid" else as_logits(each) for each in maps]
        expected = _class_maps(targets, size, maps[0].device)[:, None]
        check_class_ids(expected[expected != _UNLABELED].unique(), 2)
        known = expected != _UNLABELED
        wanted, count = expected.clamp(min=0).to(logits[0]), max(int(known.sum()), 1)
        losses = [
            F.binary_cross_entropy_with_logits(
                _enlarged(each, size, align_corners=head.align_corners)[known],
                wanted[known],
                reduction="sum",
            )
            for each in logits
        ]
        return {"loss_matte": torch.stack(losses).sum() / count}


def _map(
    outputs: Sequence[Tensor], head: SemanticHead | MatteHead, targets: Sequence[Target]
) -> Tensor:
    """Return the output that a head reads as a map (n, channels, h, w), in float32.

    Raises:
        ShapeError: There is no such output, or not one target for each image.
    """
    if head.output >= len(outputs) or outputs[head.output].ndim not in (3, 4):
        shapes = [tuple(output.shape) for output in outputs]
        msg = f"expected a map, (n, channels, h, w), as output {head.output}, got {shapes}"
        raise ShapeError(msg)
    found = outputs[head.output].float()
    check_batch([found], 1, targets)
    if found.ndim == 3:
        return found[:, None]
    return found if head.layout == "channels_first" else found.permute(0, 3, 1, 2)


def _enlarged(maps: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=align_corners)


def _class_maps(targets: Sequence[Target], size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the class of each pixel of each image, (n, height, width) int64.

    Raises:
        ShapeError: A target has none, or one of another size.
    """
    for target in targets:
        if target.class_map is None or target.class_map.shape != size:
            got = None if target.class_map is None else tuple(target.class_map.shape)
            msg = f"expected the class of each pixel of the input {size} as target, got {got}"
            raise ShapeError(msg)
    return torch.stack([target.class_map for target in targets]).long().to(device)


def _are_probabilities(scores: Tensor) -> bool:
    """Return whether scores are results of a softmax: positive, with a sum of 1 at each pixel."""
    values = scores.detach()
    sums = values.sum(dim=1)
    return bool((values >= 0).all()) and bool(((sums - 1).abs() < _ROUNDING).all())
