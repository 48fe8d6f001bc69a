"""Batches of labeled photos, as the network takes them.

The order of photos and their augmentations are functions of the seed, the epoch and the position,
so that a run that was stopped continues with the photos that come next. Photos are augmented first,
and then preprocessed as for prediction: by the model's own `preprocess`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from ..data.masks import load_mask
from ..data.records import LabeledPhoto, LabeledPhotos
from ..errors import DatasetError
from ..images.read import read_image
from ..ops.boxes import to_input
from ..spec import ImageContext, as_context
from .mask_targets import MASK_TASKS, mask_target_of
from .targets import Target

__all__ = ["Augment", "Batch", "Batches", "Place", "Sampler", "load_photo", "target_of"]

_Pixels: TypeAlias = npt.NDArray[np.uint8]

Place: TypeAlias = Callable[[Sequence[_Pixels]], "tuple[npt.NDArray[np.float32], Sequence[Any]]"]
"""Converts RGB photos to the network's scaled input, (n, 3, h, w) float32, and their contexts."""

_DETAIL = 2
"""How much larger than the network's input photos are augmented, so that crops stay sharp."""

_MIN_SIDE = 1.0
"""Least width and height of an object in pixels of the input; smaller ones are not learned."""


class Augment(Protocol):
    """Changes a photo and its labels."""

    def __call__(
        self, image: _Pixels, photo: LabeledPhoto, *, epoch: int, index: int
    ) -> tuple[_Pixels, LabeledPhoto]:
        """Return a changed photo and labels; the same for the same epoch and index."""


class Batch(NamedTuple):
    """A batch.

    Attributes:
        images: (n, 3, h, w) float32 tensor, scaled.
        targets: Labels of each image.
    """

    images: Any
    targets: list[Target]


@dataclass(frozen=True)
class Sampler:
    """Order of photos: every epoch in another order.

    Attributes:
        count: Number of photos.
        batch_size: Number of photos of a batch, over all processes.
        seed: Seed of the order.
        rank: Number of this process.
        world: Number of processes, which divides the batch size.
    """

    count: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1

    def positions(self, iteration: int) -> list[tuple[int, int]]:
        """Return the epoch and photo of each item of this process at an iteration."""
        first = iteration * self.batch_size
        places = range(first + self.rank, first + self.batch_size, self.world)
        return [self._position(place) for place in places]

    def _position(self, place: int) -> tuple[int, int]:
        epoch, index = divmod(place, self.count)
        return epoch, int(_order(self.seed, epoch, self.count)[index])


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)


class Batches:
    """Batches of a data set from an iteration on, without end; read ahead by threads.

    Args:
        photos: The data set.
        sampler: Order of the photos.
        place: Converts photos to the network's input.
        augment: Changes photos before; None for no change.
        workers: Number of threads.
        size: Height and width of the network's input. JPEGs of at least four times that size are
            decoded and augmented at a half, a quarter or an eighth of their size; by default all
            photos at full size.
        names: Names of the model's classes, which maps of classes need.
    """

    def __init__(
        self,
        photos: LabeledPhotos,
        sampler: Sampler,
        place: Place,
        *,
        augment: Augment | None = None,
        workers: int = 4,
        size: tuple[int, int] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self._photos = photos
        self._size = size
        self._names = names
        self._sampler = sampler
        self._place = place
        self._augment = augment
        self._workers = workers

    def start(self, iteration: int) -> Generator[Batch, None, None]:
        """Yield the batches from an iteration on."""
        if self._workers == 0:
            while True:
                yield self.batch(iteration)
                iteration += 1
        with closing(self._read_ahead(iteration)) as batches:
            yield from batches

    def batch(self, iteration: int) -> Batch:
        """Return the batch of an iteration."""
        return self._stacked([self._item(*where) for where in self._sampler.positions(iteration)])

    def _read_ahead(self, iteration: int) -> Generator[Batch, None, None]:
        pending: deque[list[Future[Any]]] = deque()
        executor = ThreadPoolExecutor(self._workers, "training-photos")
        try:
            while True:
                while sum(map(len, pending)) < max(2 * self._workers, self._sampler.batch_size):
                    wheres = self._sampler.positions(iteration + len(pending))
                    pending.append([executor.submit(self._item, *where) for where in wheres])
                yield self._stacked([future.result() for future in pending.popleft()])
                iteration += 1
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _item(self, epoch: int, index: int) -> tuple[npt.NDArray[np.float32], Target]:
        image, photo = self._loaded(load_mask(self._photos, self._photos[index]))
        if self._augment is not None:
            image, photo = self._augment(image, photo, epoch=epoch, index=index)
        tensor, contexts = self._place([np.ascontiguousarray(image)])
        height, width = tensor.shape[2:]
        if self._photos.task in MASK_TASKS:
            context = as_context(contexts[0])
            place = (self._photos, photo, context, (height, width), self._names)
            return tensor[0], mask_target_of(*place)
        return tensor[0], target_of(photo, contexts[0], (height, width))

    def _loaded(self, photo: LabeledPhoto) -> tuple[_Pixels, LabeledPhoto]:
        """Return the pixels of a photo, and its labels for them."""
        size = self._size
        has_masks = photo.objects is not None and photo.objects.masks is not None
        if size is None or has_masks or photo.mask is not None:
            return load_photo(photo), photo
        height, width = size
        image = read_image(photo.path, draft=lambda *_: (_DETAIL * height, _DETAIL * width))
        if image.drafted_from is None:
            return image.rgb, photo
        return image.rgb, _scaled(photo, image.drafted_from, image.pixels.shape[:2])

    def _stacked(self, items: Sequence[tuple[npt.NDArray[np.float32], Target]]) -> Batch:
        images = torch.from_numpy(np.stack([image for image, _ in items]))
        return Batch(images, [target for _, target in items])


def load_photo(photo: LabeledPhoto) -> _Pixels:
    """Return the upright pixels of a photo, (h, w, 3) uint8 RGB.

    Raises:
        ImageError: It cannot be read.
    """
    return read_image(photo.path).rgb


def _scaled(photo: LabeledPhoto, old: tuple[int, int], new: tuple[int, ...]) -> LabeledPhoto:
    """Return labels for a photo that was decoded smaller; sizes are heights and widths."""
    down, across = new[0] / old[0], new[1] / old[1]
    objects = photo.objects
    if objects is not None:
        factors = np.array([across, down, across, down], np.float32)
        points = objects.keypoints
        if points is not None:
            points = points * np.array([across, down, 1], np.float32)
        objects = replace(objects, boxes=objects.boxes * factors, keypoints=points, areas=None)
    size = None if photo.size is None else (new[1], new[0])
    return replace(photo, size=size, objects=objects)


def target_of(photo: LabeledPhoto, context: ImageContext, size: tuple[int, int]) -> Target:
    """Return the labels of a photo on the network's input.

    Boxes are clipped to the input. Groups of objects (`is_crowd`), and objects of which less than a
    pixel is left, are dropped.

    Args:
        photo: The photo with its labels.
        context: Where it is placed on the input.
        size: Height and width of the input.

    Raises:
        DatasetError: The photo has no labels.
    """
    if photo.class_id is not None and photo.objects is None:
        return Target(torch.tensor(photo.class_id, dtype=torch.int64))
    if photo.objects is None:
        msg = f"{photo.path} has no labels"
        raise DatasetError(msg)
    objects = photo.objects
    height, width = size
    boxes = to_input(objects.boxes.astype(np.float32), as_context(context))
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= _MIN_SIDE).all(1)
    kept &= ~objects.is_crowd
    return Target(
        torch.from_numpy(objects.class_ids[kept].astype(np.int64)), torch.from_numpy(boxes[kept])
    )
