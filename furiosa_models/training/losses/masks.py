"""Set loss of networks with a class and a mask for each query: MaskFormer and Mask2Former.

Queries are matched to masks one to one (`matching`), by class, cross-entropy and dice of the mask.
Matched queries learn the class and the mask, all others the class of no object. Masks are compared
at random points: for the matching anywhere, for the loss mostly where the network is uncertain
(PointRend, Kirillov et al. 2020). Networks of the zoo learn so before every decoder layer, too
(auxiliary outputs). Weights are those of Mask2Former (Cheng et al. 2022, arXiv:2112.01527) and of
Focoos.

For semantic segmentation, the mask of a class is all of its pixels; pixels without a class belong
to no mask.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # its customary name

from ...errors import ConfigurationError, ShapeError
from ...heads.mask_queries import MaskQueriesHead, SemanticQueriesHead
from ...ops.checks import check_at_least
from ..targets import Target, Tensor
from .common import check_batch, check_class_ids, check_weight, pairs_of
from .matching import Matches, match

__all__ = ["MaskQueriesLoss"]

_COSTS = (2.0, 5.0, 5.0)
"""Weights of the costs of class, cross-entropy and dice in the matching."""
_OVERSAMPLED = 3
"""Random points of which the most uncertain one is taken."""
_UNCERTAIN = 0.75
"""Part of the points that are uncertain ones."""


class _Prediction(NamedTuple):
    """What a layer predicts for each query.

    Attributes:
        logits: (n, queries, classes + 1) float32; the last class is no object.
        masks: (n, queries, h, w) float32 logits.
    """

    logits: Tensor
    masks: Tensor


class _Labels(NamedTuple):
    """Masks of a batch.

    Attributes:
        class_ids: (m,) int64.
        masks: (m, height, width) float32, 0 or 1.
        counts: Number of masks of each image.
    """

    class_ids: Tensor
    masks: Tensor
    counts: list[int]


@dataclass(frozen=True, slots=True)
class MaskQueriesLoss:
    """Cross-entropy of the classes, and cross-entropy and dice loss of the masks of queries.

    Attributes:
        head: Head of the network.
        class_weight: Weight of the loss of the classes.
        mask_weight: Weight of the cross-entropy of the masks.
        dice_weight: Weight of the dice loss of the masks.
        no_object_weight: Weight of queries without an object, if the classes have a softmax.
        points: Number of points of each mask.

    Raises:
        ConfigurationError: The outputs are no logits, or a weight is not a finite number of at
            least 0.
        ValueError: `points` is less than 1.
    """

    takes_auxiliary: ClassVar[bool] = True

    head: MaskQueriesHead | SemanticQueriesHead
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    points: int = 12544

    def __post_init__(self) -> None:
        check_at_least("points", self.points, 1)
        for name in ("class_weight", "mask_weight", "dice_weight", "no_object_weight"):
            check_weight(name, getattr(self, name))
        if self.head.activation == "none" or self.head.mask_activation == "none":
            msg = (
                "the graph ends in scores without the class of no object, or in probabilities of "
                "masks: train the network itself, whose outputs are logits"
            )
            raise ConfigurationError(msg)

    def __call__(
        self,
        outputs: Sequence[Tensor],
        targets: Sequence[Target],
        size: tuple[int, int],  # noqa: ARG002 - points have no unit
        auxiliary: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Return `loss_class`, `loss_mask` and `loss_dice`; see `Loss`.

        Args:
            outputs: Masks (n, queries, h, w) and logits (n, queries, classes + 1), in any order.
            targets: Masks, or the class of each pixel, of each image.
            size: Not used.
            auxiliary: Masks and logits of other layers.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id does not belong to the network's classes.
        """
        check_batch(outputs, 2, targets)
        count = len(targets)
        predictions = [_prediction(pair, count) for pair in (outputs, *pairs_of(auxiliary))]
        labels = _labels(targets, predictions[0])
        names = ("loss_class", "loss_mask", "loss_dice")
        weights = (self.class_weight, self.mask_weight, self.dice_weight)
        total = dict.fromkeys(names, predictions[0].logits.new_zeros(()))
        for each in predictions:
            matches = self._match(each, labels)
            losses = (
                self._class_loss(each, labels, matches),
                *self._mask_losses(each, labels, matches),
            )
            for name, weight, loss in zip(names, weights, losses, strict=True):
                total[name] = total[name] + weight * loss
        return total

    def _match(self, prediction: _Prediction, labels: _Labels) -> Matches:
        """Return the query of each mask."""
        costs = []
        images = zip(
            *prediction,
            labels.class_ids.split(labels.counts),
            labels.masks.split(labels.counts),
            strict=True,
        )
        with torch.no_grad():
            for logits, masks, class_ids, expected in images:
                places = torch.rand(1, self.points, 2, device=masks.device)
                found, wanted = _sampled(masks, places), _sampled(expected, places)
                for_class, for_mask, for_dice = _COSTS
                cost = -for_class * self._scores(logits)[:, class_ids]
                cost = cost + for_mask * _pair_entropy(found, wanted)
                costs.append(cost + for_dice * _pair_dice(found, wanted))
        return match(costs, prediction.logits.device)

    def _scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.head.activation == "sigmoid" else logits.softmax(dim=-1)

    def _class_loss(self, prediction: _Prediction, labels: _Labels, matches: Matches) -> Tensor:
        logits = prediction.logits
        classes = logits.shape[2] - 1
        expected = torch.full(logits.shape[:2], classes, dtype=torch.int64, device=logits.device)
        expected[matches.places] = labels.class_ids[matches.objects]
        if self.head.activation == "sigmoid":
            is_class = F.one_hot(expected, classes + 1)[..., :-1].to(logits.dtype)
            loss = F.binary_cross_entropy_with_logits(logits[..., :-1], is_class, reduction="sum")
            return loss / max(len(labels.class_ids), 1)
        weight = logits.new_ones(classes + 1)
        weight[-1] = self.no_object_weight
        loss = F.cross_entropy(logits.transpose(1, 2), expected, weight, reduction="sum")
        total = weight[expected].sum()
        return loss / total.where(total > 0, 1)  # a weight of 0, and no objects

    def _mask_losses(
        self, prediction: _Prediction, labels: _Labels, matches: Matches
    ) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy and the dice loss of matched queries."""
        masks, expected = prediction.masks[matches.places], labels.masks[matches.objects]
        with torch.no_grad():
            places = self._uncertain_places(masks)
            wanted = _sampled_alone(expected, places)
        found = _sampled_alone(masks, places)
        number = max(len(labels.class_ids), 1)
        entropy = F.binary_cross_entropy_with_logits(found, wanted, reduction="sum")
        scores = found.sigmoid()
        both, either = (scores * wanted).sum(dim=1), scores.sum(dim=1) + wanted.sum(dim=1)
        dice = 1 - (2 * both + 1) / (either + 1)
        return entropy / (self.points * number), dice.sum() / number

    def _uncertain_places(self, masks: Tensor) -> Tensor:
        """Return points of each mask, most of them where its logit is near 0, (m, points, 2)."""
        count = int(_UNCERTAIN * self.points)
        places = torch.rand(len(masks), _OVERSAMPLED * self.points, 2, device=masks.device)
        certainty = _sampled_alone(masks, places).abs()
        best = certainty.topk(count, dim=1, largest=False).indices
        chosen = places.gather(1, best[..., None].expand(-1, -1, 2))
        others = torch.rand(len(masks), self.points - count, 2, device=masks.device)
        return torch.cat((chosen, others), dim=1)


def _prediction(outputs: Sequence[Tensor], count: int) -> _Prediction:
    """Return the outputs of a layer.

    Raises:
        ShapeError: They are not masks and logits of the same queries.
    """
    by_rank = {output.ndim: output.float() for output in outputs}
    masks, logits = by_rank.get(4), by_rank.get(3)
    if masks is None or logits is None or masks.shape[1] != logits.shape[1]:
        msg = "expected masks (n, queries, h, w) and logits (n, queries, classes + 1), got "
        raise ShapeError(msg + str([tuple(output.shape) for output in outputs]))
    # The first queries are constants, which have no batch.
    return _Prediction(logits.expand(count, -1, -1), masks.expand(count, -1, -1, -1))


def _labels(targets: Sequence[Target], prediction: _Prediction) -> _Labels:
    """Return the masks of a batch.

    Raises:
        ShapeError: A target has neither masks with a class each, nor the class of each pixel; or
            the targets have different sizes.
        LabelsError: A class id does not belong to the network's classes.
    """
    logits = prediction.logits
    ids, masks = [], []
    for target in targets:
        if target.class_map is not None and target.class_map.ndim == 2:
            found = target.class_map.unique()
            found = found[found >= 0]
            ids.append(found)
            masks.append(target.class_map[None] == found[:, None, None])
        elif _has_masks(target):
            ids.append(target.class_ids)
            masks.append(target.masks)
        else:
            labels = (target.class_ids, target.masks, target.class_map)
            shapes = [None if each is None else tuple(each.shape) for each in labels]
            msg = (
                "a target has masks (n, height, width) with a class id for each, or a class map "
                f"(height, width), got class ids {shapes[0]}, masks {shapes[1]} and class map "
                f"{shapes[2]}"
            )
            raise ShapeError(msg)
    sizes = [tuple(each.shape[1:]) for each in masks]
    if len(set(sizes)) > 1:
        msg = f"the masks of all targets must have the size of the input, got {sizes}"
        raise ShapeError(msg)
    class_ids = torch.cat(ids).long().to(logits.device)
    check_class_ids(class_ids, logits.shape[2] - 1)
    return _Labels(class_ids, torch.cat(masks).to(logits), [len(each) for each in ids])


def _has_masks(target: Target) -> bool:
    """Return whether a target has masks, and a class id for each."""
    masks = None if target.class_map is not None else target.masks
    return masks is not None and masks.ndim == 3 and masks.shape[:1] == target.class_ids.shape


def _sampled(masks: Tensor, places: Tensor) -> Tensor:
    """Return the values of masks (m, h, w) at the same points (1, points, 2), (m, points)."""
    grid = 2 * places[:, :, None] - 1
    return F.grid_sample(masks[None], grid, align_corners=False)[0, :, :, 0]


def _sampled_alone(masks: Tensor, places: Tensor) -> Tensor:
    """Return the values of masks (m, h, w), each at its own points (m, points, 2)."""
    grid = 2 * places[:, :, None] - 1
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0, :, 0]


def _pair_entropy(logits: Tensor, expected: Tensor) -> Tensor:
    """Return the mean cross-entropy of every pair of masks, (queries, masks)."""
    inside, outside = F.softplus(-logits), F.softplus(logits)
    return (inside @ expected.T + outside @ (1 - expected).T) / logits.shape[1]


def _pair_dice(logits: Tensor, expected: Tensor) -> Tensor:
    """Return the dice loss of every pair of masks, (queries, masks)."""
    scores = logits.sigmoid()
    either = scores.sum(dim=1)[:, None] + expected.sum(dim=1)
    return 1 - (2 * scores @ expected.T + 1) / (either + 1)
