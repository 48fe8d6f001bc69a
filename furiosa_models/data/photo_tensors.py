"""A photo and its labels as tensors of torchvision, which its transforms move together.

torchvision counts keypoints in pixels when it mirrors them, but measures them from the border of
the image when it resizes or rotates them. Boxes are measured from the border throughout, as labels
are here, so that points are treated as boxes without an extent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..errors import ShapeError
from ..ops.checks import check_image
from ..ops.rle import decode_rle, encode_rle
from .outlines import clip_polygon
from .records import LabeledPhoto, Mask, Objects

__all__ = ["PhotoTensors", "torchvision_transforms"]

Image: TypeAlias = npt.NDArray[np.uint8]
Points: TypeAlias = npt.NDArray[np.float32]

_PURPOSE = "augmentations need torchvision"
_MIN_SIDE = 1.0  # pixels
_MIN_SHARE = 0.1


def torchvision_transforms() -> Any:
    """Import torchvision's functions that transform images, boxes and masks.

    Raises:
        ExtraRequired: torchvision is not installed.
    """
    return require("torchvision.transforms.v2.functional", _PURPOSE, extra="train")


@dataclass(frozen=True, slots=True)
class PhotoTensors:
    """A photo and its labels between two transforms.

    Attributes:
        photo: The labels before all transforms.
        image: The photo, (3, h, w) uint8.
        places: The objects' boxes, then their keypoints, then the points of their polygons:
            (n + points, 4) float32 xyxy, which may be outside the image.
        masks: (m, h, w) uint8: the masks of the objects that are not polygons, in their order; then
            the mask of the photo plus 1, if it has one, so that what enters the photo is no class.
        is_mirrored: Whether left and right have been exchanged.
    """

    photo: LabeledPhoto
    image: Any
    places: Any
    masks: Any
    is_mirrored: bool = False

    @classmethod
    def of(cls, image: Image, photo: LabeledPhoto) -> PhotoTensors:
        """Return a photo and its labels as tensors.

        Args:
            image: (h, w, 3) uint8 RGB.
            photo: Its labels.

        Raises:
            ShapeError: The image has another size than the labels are for, or another form.
            ExtraRequired: torchvision is not installed.
        """
        tv_tensors = require("torchvision.tv_tensors", _PURPOSE, extra="train")
        torch = require("torch", _PURPOSE, extra="train")
        check_image(image, (3,))
        height, width = image.shape[:2]
        if photo.size not in (None, (width, height)):
            msg = f"the labels of {photo.path} are for {photo.size} pixels, got {(width, height)}"
            raise ShapeError(msg)
        objects = photo.objects or Objects()
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)
        masks: list[npt.NDArray[Any]] = [
            decode_rle(mask) for mask in objects.masks or () if isinstance(mask, dict)
        ]
        if isinstance(photo.mask, np.ndarray):
            masks.append(photo.mask + np.uint8(1))
        if any(mask.shape != (height, width) for mask in masks):
            shapes = sorted({mask.shape for mask in masks})
            msg = (
                f"masks of {photo.path} have heights and widths {shapes}, the photo {height, width}"
            )
            raise ShapeError(msg)
        stacked = np.array(masks, np.uint8).reshape(-1, height, width)
        return cls(
            photo,
            tv_tensors.Image(pixels),
            tv_tensors.BoundingBoxes(
                torch.from_numpy(_places(objects)),
                format="XYXY",
                canvas_size=(height, width),
                clamping_mode=None,
            ),
            tv_tensors.Mask(torch.from_numpy(stacked)),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.image.shape[-2:]
        return height, width

    def moved(self, kernel: Callable[..., Any], *args: Any, **options: Any) -> PhotoTensors:
        """Return the result of one of torchvision's functions for the photo and all labels."""
        image, places, masks = (
            kernel(each, *args, **options) for each in (self.image, self.places, self.masks)
        )
        return replace(self, image=image, places=places, masks=masks)

    def mirrored(self, kernel: Callable[..., Any]) -> PhotoTensors:
        """Return the result of one of torchvision's flips."""
        return replace(self.moved(kernel), is_mirrored=not self.is_mirrored)

    def pixels(self) -> Image:
        """Return the photo, (h, w, 3) uint8."""
        array: Image = np.ascontiguousarray(self.image.permute(1, 2, 0).numpy())
        return array

    def labels(self, mirrored_keypoints: Sequence[int]) -> LabeledPhoto:
        """Return the labels of the photo as it is now.

        Boxes are clipped to the image. An object is dropped if its box is then less than one pixel
        wide or high, or less than a tenth of its area is left, or nothing of its outline. Keypoints
        outside the image become unlabeled: 0, 0, 0.

        Args:
            mirrored_keypoints: For each keypoint, the one that it becomes in a mirrored photo.
        """
        height, width = self.size
        has_mask = isinstance(self.photo.mask, np.ndarray)
        mask = self.masks[-1].numpy() - np.uint8(1) if has_mask else self.photo.mask
        photo = replace(self.photo, size=(width, height), mask=mask)
        objects = self.photo.objects
        if objects is None:
            return photo
        places: Points = self.places.numpy()
        boxes, points = places[: len(objects)], places[len(objects) :, :2]
        clipped = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        kept = _is_left(boxes, clipped)
        keypoints, outlines = objects.keypoints, None
        if keypoints is not None:
            own, points = np.split(points, [keypoints.shape[0] * keypoints.shape[1]])
            keypoints = _keypoints(own, keypoints, (width, height))
            keypoints = keypoints[:, list(mirrored_keypoints)] if self.is_mirrored else keypoints
        if objects.masks is not None:
            outlines = list(self._outlines(objects.masks, points))
            kept &= np.array([outline is not None for outline in outlines], np.bool_)
        return replace(photo, objects=_chosen(objects, kept, clipped, keypoints, outlines))

    def _outlines(self, masks: Sequence[Mask], points: Points) -> Iterator[Mask | None]:
        """Yield the outline of each object as it is now; None if nothing is inside the image."""
        height, width = self.size
        pixels = iter(self.masks.numpy().astype(np.bool_))
        first = 0
        for mask in masks:
            if isinstance(mask, dict):
                own = next(pixels)
                yield encode_rle(own) if own.any() else None
                continue
            clipped = []
            for polygon in mask:
                moved = points[first : first + len(polygon)]
                first += len(polygon)
                clipped.append(clip_polygon(moved, width, height))
            yield [polygon for polygon in clipped if len(polygon)] or None


def _places(objects: Objects) -> Points:
    """Return boxes, keypoints and points of polygons, as boxes."""
    outlines = [mask for mask in objects.masks or () if not isinstance(mask, dict)]
    points = [np.zeros((0, 2), np.float32), *(polygon for mask in outlines for polygon in mask)]
    if objects.keypoints is not None:
        points.insert(0, objects.keypoints[..., :2].reshape(-1, 2))
    flat = np.concatenate(points)
    places = np.concatenate((objects.boxes, np.concatenate((flat, flat), axis=1)))
    return places.astype(np.float32)


def _is_left(boxes: Points, clipped: Points) -> npt.NDArray[np.bool_]:
    """Return whether enough of each box is left."""
    sides, before = clipped[:, 2:] - clipped[:, :2], boxes[:, 2:] - boxes[:, :2]
    is_large = (sides >= _MIN_SIDE).all(axis=1)
    kept: npt.NDArray[np.bool_] = is_large & (
        sides.prod(axis=1) >= _MIN_SHARE * before.prod(axis=1)
    )
    return kept


def _keypoints(points: Points, before: Points, size: tuple[int, int]) -> Points:
    """Return keypoints (n, k, 3) with new positions; those outside the image become unlabeled."""
    positions = points.reshape(*before.shape[:2], 2)
    is_inside = ((positions >= 0) & (positions < np.array(size))).all(axis=2)
    keypoints = np.concatenate((positions, before[..., 2:]), axis=2)
    return keypoints * (is_inside & (before[..., 2] > 0))[..., None].astype(np.float32)


def _chosen(
    objects: Objects,
    kept: npt.NDArray[np.bool_],
    boxes: Points,
    keypoints: Points | None,
    outlines: Sequence[Mask] | None,
) -> Objects:
    """Return some of the objects, with new places."""
    return Objects(
        boxes=boxes[kept],
        class_ids=objects.class_ids[kept],
        keypoints=None if keypoints is None else keypoints[kept],
        masks=None
        if outlines is None
        else tuple(outlines[i] for i in np.flatnonzero(kept).tolist()),
        is_crowd=objects.is_crowd[kept],
    )
