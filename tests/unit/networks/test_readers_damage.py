"""Reading a damaged file gives arrays or raises WeightsError."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.errors import WeightsError
from furiosa_models.networks import read_weights

from .samples import FILES


def _corrupted(kind: str, damage: Callable[[bytes], bytes]) -> None:
    """Damage each part of a file and read it: only arrays or WeightsError are accepted."""
    format_, files = FILES[kind]
    for damaged in files:
        try:
            arrays = read_weights(format_, {**files, damaged: damage(files[damaged])})
        except WeightsError:
            continue
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


@pytest.mark.parametrize("kind", FILES)
def test_truncated_files_are_read_or_raise_weights_error(kind: str) -> None:
    for keep in range(1 + max(map(len, FILES[kind][1].values()))):
        _corrupted(kind, operator.itemgetter(slice(keep)))


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=150, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=8)
)
def test_flipped_bytes_are_read_or_raise_weights_error(
    kind: str, flips: list[tuple[int, int]]
) -> None:
    def damage(data: bytes) -> bytes:
        damaged = bytearray(data)
        for position, mask in flips:
            damaged[position % len(data)] ^= mask
        return bytes(damaged)

    _corrupted(kind, damage)


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=50, deadline=None)
@given(noise=st.binary(max_size=200))
def test_noise_raises_weights_error(kind: str, noise: bytes) -> None:
    _corrupted(kind, lambda data: data[:40] + noise)
