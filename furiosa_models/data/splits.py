"""Split a data set at random."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .records import LabeledPhoto, LabeledPhotos

__all__ = ["split_photos"]


def split_photos(
    photos: LabeledPhotos, sizes: float | Sequence[int], *, seed: int = 0
) -> tuple[LabeledPhotos, ...]:
    """Split a data set at random into parts without common photos, each in the original order.

    For classification, each class is split in the same proportion, as far as it has enough photos.

    Args:
        photos: The data set.
        sizes: Fraction of the photos in the first of two parts, between 0 and 1; or the number of
            photos in each part.
        seed: Seed of the choice.

    Raises:
        ValueError: The fraction leaves a part empty, or the numbers do not add up to the number of
            photos.
    """
    counts = _counts(len(photos), sizes)
    random = np.random.default_rng(seed)
    order = _spread(photos, random)
    ends = np.cumsum(counts)[:-1]
    return tuple(
        replace(photos, photos=tuple(photos[int(i)] for i in np.sort(chosen)))
        for chosen in np.split(order, ends)
    )


def _counts(total: int, sizes: float | Sequence[int]) -> list[int]:
    """Return the number of photos in each part."""
    if isinstance(sizes, Sequence):
        if any(size < 0 for size in sizes) or sum(sizes) != total:
            msg = f"the sizes {list(sizes)} add up to {sum(sizes)}, expected the {total} photos"
            raise ValueError(msg)
        return [*sizes]
    first = round(total * sizes) if 0 < sizes < 1 else 0
    if not 0 < first < total:
        msg = (
            f"{sizes} of {total} photos leaves a part empty: expected a fraction between 0 and 1, "
            "or the number of photos of each part"
        )
        raise ValueError(msg)
    return [first, total - first]


def _spread(photos: Iterable[LabeledPhoto], random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the positions of photos in random order, with each class spread evenly over it."""
    classes = np.array([-1 if each.class_id is None else each.class_id for each in photos])
    places = np.empty(len(classes))
    for class_id in np.unique(classes):
        own = np.flatnonzero(classes == class_id)
        places[own] = (random.permutation(len(own)) + random.random()) / len(own)
    return np.argsort(places, kind="stable")
