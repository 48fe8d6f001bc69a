"""Random changes of photos and their labels.

The order is that of Focoos: colors, flips, zooming out, square or aspect ratio, resolution,
rotation, crop. Importing this module imports neither torch nor torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..ops.checks import check_at_least
from .augmentations import HUES, DatasetAugmentations, Size, get_default_by_task
from .photo_tensors import PhotoTensors, torchvision_transforms
from .records import LabeledPhoto

__all__ = ["Augmenter", "DatasetAugmentations", "get_default_by_task"]

Image: TypeAlias = npt.NDArray[np.uint8]

_WHITE = 255
_HALF_TURN = 180
_BILINEAR = 2  # as Pillow counts, which torchvision accepts
_SIDES = ("left_", "right_")


class Augmenter:
    """Random changes of photos and their labels, which can be repeated.

    The random numbers for a photo depend only on the seed, the epoch, and the index of the photo:
    photos may be read in any order, by any number of processes, and training can be resumed.

    Args:
        augmentations: What to change, and how much.
        seed: Seed of the random numbers.
        keypoints: Names of the keypoints of the labels. Those that begin with `left_` and `right_`
            change places in a mirrored photo.

    Raises:
        ConfigurationError: An augmentation is out of range, or photos are mirrored and a keypoint
            has a side without a counterpart.
        ValueError: The seed is negative.
    """

    def __init__(
        self, augmentations: DatasetAugmentations, seed: int = 0, *, keypoints: Sequence[str] = ()
    ) -> None:
        check_at_least("seed", seed, 0)
        self.augmentations = replace(augmentations)
        self.seed = seed
        self._mirrors = bool(augmentations.horizontal_flip or augmentations.vertical_flip)
        self._mirrored_keypoints = _mirrored(keypoints) if self._mirrors else ()

    def __call__(
        self, image: Image, photo: LabeledPhoto, *, epoch: int = 0, index: int | None = None
    ) -> tuple[Image, LabeledPhoto]:
        """Return a changed photo, with its pixels, and its labels.

        The photo is not resized to the resolution, which is left to the network's own
        preprocessing; a crop has the extent that it would have at this resolution. What
        augmentations do not change stays as it is.

        Boxes are clipped to the photo. An object is dropped if its box is then less than one pixel
        wide or high, or less than a tenth of its area is left, or nothing of its outline. Keypoints
        outside the photo become unlabeled: 0, 0, 0. Areas become unknown.

        Args:
            image: (h, w, 3) uint8 RGB.
            photo: Its labels.
            epoch: Number of times that the data set was read before.
            index: Index of the photo in the data set; by default, the id of the photo.

        Raises:
            ShapeError: The image has another size than the labels are for, or another form.
            ConfigurationError: Photos are mirrored and have keypoints whose names are not known, or
                the labels are a picture of classes, which would stay as it is.
            ExtraRequired: torchvision is not installed.
        """
        return self._changed(image, photo, epoch, index, resized=False)

    def to_resolution(
        self, image: Image, photo: LabeledPhoto, *, epoch: int = 0, index: int | None = None
    ) -> tuple[Image, LabeledPhoto]:
        """Return a changed photo at the resolution, and its labels; see `__call__`."""
        return self._changed(image, photo, epoch, index, resized=True)

    def _changed(
        self, image: Image, photo: LabeledPhoto, epoch: int, index: int | None, *, resized: bool
    ) -> tuple[Image, LabeledPhoto]:
        self._check_labels(photo)
        place = photo.image_id if index is None else index
        check_at_least("epoch", epoch, 0)
        check_at_least("index", place, 0)
        random = _Random(self.augmentations, np.random.default_rng((self.seed, epoch, place)))
        tensors = random.colored(PhotoTensors.of(image, photo))
        tensors = random.zoomed_out(random.flipped(tensors))
        stretched, at_resolution = random.sizes(tensors.size)
        tensors = _resized(tensors, at_resolution if resized else stretched)
        tensors = random.cropped(random.rotated(tensors), at_resolution)
        return tensors.pixels(), tensors.labels(self._mirrored_keypoints)

    def _check_labels(self, photo: LabeledPhoto) -> None:
        if isinstance(photo.mask, Path):
            msg = f"{photo.path} has a picture of classes ({photo.mask}): load it with load_mask"
            raise ConfigurationError(msg)
        objects = photo.objects
        if objects is None or objects.keypoints is None or not self._mirrors:
            return
        count, known = objects.keypoints.shape[1], len(self._mirrored_keypoints)
        if count != known:
            msg = (
                f"mirrored photos exchange left and right keypoints, of which {known} names are "
                f"known, and {photo.path} has {count}: pass keypoints="
            )
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class _Random:
    """Random changes of one photo.

    Attributes:
        augmentations: What to change, and how much.
        numbers: The random numbers of this photo.
    """

    augmentations: DatasetAugmentations
    numbers: np.random.Generator

    def happens(self, probability: float) -> bool:
        return bool(self.numbers.random() < probability)

    def colored(self, tensors: PhotoTensors) -> PhotoTensors:
        """Change brightness, contrast, saturation and hue, as for SSD (Liu et al. 2016)."""
        given, strength = self.augmentations, self.augmentations.color_augmentation
        if not strength:
            return tensors
        F = torchvision_transforms()  # its customary name

        def brighter(image: Any, change: float) -> Any:
            return (image.float() + change * _WHITE).round().clamp(0, _WHITE).byte()

        changes = [
            (brighter, 0.0, given.color_base_brightness / _WHITE),
            (F.adjust_saturation, 1.0, given.color_base_saturation),
            (F.adjust_hue, 0.0, given.color_base_hue / HUES),
        ]
        # The contrast is changed before or after the colors, which gives different results.
        place = 1 if self.happens(0.5) else len(changes)
        changes.insert(place, (F.adjust_brightness, 1.0, given.color_base_contrast))
        image = tensors.image
        for change, middle, extent in changes:
            if self.happens(0.5):
                image = change(image, middle + self.numbers.uniform(-extent, extent) * strength)
        return replace(tensors, image=image)

    def flipped(self, tensors: PhotoTensors) -> PhotoTensors:
        """Exchange left and right, and top and bottom."""
        F = torchvision_transforms()
        if self.happens(self.augmentations.horizontal_flip):
            tensors = tensors.mirrored(F.horizontal_flip)
        if self.happens(self.augmentations.vertical_flip):
            tensors = tensors.mirrored(F.vertical_flip)
        return tensors

    def zoomed_out(self, tensors: PhotoTensors) -> PhotoTensors:
        """Place the photo on a larger black canvas, which is not longer than `max_size`."""
        given = self.augmentations
        if not self.happens(given.zoom_out):
            return tensors
        factor = self.numbers.uniform(1.0, given.zoom_out_side)
        limit = given.max_size or np.inf
        factor_within = min(1.0, limit / (factor * max(tensors.size)))
        tensors = _resized(tensors, _scaled(tensors.size, factor_within))
        height, width = tensors.size
        down, across = (int(length * factor) - length for length in (height, width))
        top, left = self.numbers.integers(0, (down + 1, across + 1)).tolist()
        border = [left, top, across - left, down - top]
        return tensors.moved(torchvision_transforms().pad, border, fill=0)

    def sizes(self, size: Size) -> tuple[Size, Size]:
        """Return the size with another aspect ratio, and the size at the resolution."""
        given = self.augmentations
        target = given.height_and_width
        is_square = self.happens(given.square)
        if given.aspect_ratio and not given.square:
            ratio = 2 ** self.numbers.uniform(-given.aspect_ratio, given.aspect_ratio)
            height, width = size
            is_width = self.happens(0.5)
            size = (height, round(width * ratio)) if is_width else (round(height / ratio), width)
            size = max(size[0], 1), max(size[1], 1)
        if target[0] != target[1]:
            return size, target
        shape = target if is_square else size
        low, high = (int(target[0] * 2**power) for power in (-given.scale_ratio, given.scale_ratio))
        shorter = self.numbers.integers(low, high + 1)
        limit = given.max_size or np.inf
        return size, _scaled(shape, min(shorter / min(shape), limit / max(shape)))

    def rotated(self, tensors: PhotoTensors) -> PhotoTensors:
        """Rotate the photo around its center; what leaves it is lost, what enters it is black."""
        limit = self.augmentations.rotation * _HALF_TURN
        if not limit:
            return tensors
        angle = self.numbers.uniform(-limit, limit)
        # torchvision rotates masks without interpolation, whatever it is told.
        return tensors.moved(torchvision_transforms().rotate, angle, interpolation=_BILINEAR)

    def cropped(self, tensors: PhotoTensors, at_resolution: Size) -> PhotoTensors:
        """Cut out a part; its size is given for the photo at the resolution."""
        given = self.augmentations
        if not given.crop:
            return tensors
        wanted = given.height_and_width if given.crop_size is None else (given.crop_size,) * 2
        part = [
            min(max(round(length * own / full), 1), own)
            for length, own, full in zip(wanted, tensors.size, at_resolution, strict=True)
        ]
        free = [own - length + 1 for own, length in zip(tensors.size, part, strict=True)]
        return tensors.moved(
            torchvision_transforms().crop, *self.numbers.integers(0, free).tolist(), *part
        )


def _scaled(size: Size, factor: float) -> Size:
    height, width = (max(int(length * factor + 0.5), 1) for length in size)
    return height, width


def _resized(tensors: PhotoTensors, size: Size) -> PhotoTensors:
    if size == tensors.size:
        return tensors
    return tensors.moved(torchvision_transforms().resize, list(size))


def _mirrored(keypoints: Sequence[str]) -> tuple[int, ...]:
    """Return, for each keypoint, the index of the one that it becomes in a mirrored photo.

    Raises:
        ConfigurationError: A keypoint has a side, and there is none on the other side.
    """
    places = {name: place for place, name in enumerate(keypoints)}
    found = []
    for name in keypoints:
        for own, other in (_SIDES, _SIDES[::-1]):
            if name.startswith(own):
                name = other + name.removeprefix(own)
                break
        if name not in places:
            msg = f"the keypoints {', '.join(keypoints)} have no {name}, which mirrored photos need"
            raise ConfigurationError(msg)
        found.append(places[name])
    return tuple(found)
