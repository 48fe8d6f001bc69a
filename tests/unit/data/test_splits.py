from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.data import LabeledPhoto, LabeledPhotos, split_photos
from furiosa_models.enums import DatasetLayout, Task


def data_set(classes: Sequence[int | None]) -> LabeledPhotos:
    photos = tuple(
        LabeledPhoto(Path(f"{i}.jpg"), i, class_id=class_id) for i, class_id in enumerate(classes)
    )
    return LabeledPhotos(Path("x"), DatasetLayout.CSV, Task.CLASSIFICATION, ("a", "b"), photos)


@given(
    st.lists(st.sampled_from([0, 1, None]), min_size=2, max_size=60),
    st.integers(0, 2**31),
    st.data(),
)
def test_every_photo_is_in_one_part(
    classes: list[int | None], seed: int, drawn: st.DataObject
) -> None:
    first = drawn.draw(st.integers(0, len(classes)))
    photos = data_set(classes)
    parts = split_photos(photos, [first, len(classes) - first], seed=seed)
    assert [len(part) for part in parts] == [first, len(classes) - first]
    assert sorted(photo.image_id for part in parts for photo in part) == [*range(len(classes))]
    assert all([p.image_id for p in part] == sorted(p.image_id for p in part) for part in parts)
    for class_id in set(classes):  # within one photo of the same proportion
        total = classes.count(class_id)
        own = sum(photo.class_id == class_id for photo in parts[0])
        assert abs(own - total * first / len(classes)) <= len(set(classes))


def test_classes_are_split_in_the_same_proportion() -> None:
    train, val = split_photos(data_set([0] * 90 + [1] * 10), 0.8)
    assert Counter(photo.class_id for photo in train) == {0: 72, 1: 8}
    assert Counter(photo.class_id for photo in val) == {0: 18, 1: 2}


def test_the_seed_decides() -> None:
    photos = data_set([None] * 50)
    one, again, other = (split_photos(photos, 0.5, seed=seed)[0] for seed in (1, 1, 2))
    assert [p.image_id for p in one] == [p.image_id for p in again]
    assert [p.image_id for p in one] != [p.image_id for p in other]


@pytest.mark.parametrize("sizes", [0, 1, 1.5, -0.5, 0.01, [1, 1], [5, -1], float("nan")])
def test_impossible_sizes_are_an_error(sizes: float | list[int]) -> None:
    with pytest.raises(ValueError, match="leaves a part empty|add up to"):
        split_photos(data_set([0] * 4), sizes)
