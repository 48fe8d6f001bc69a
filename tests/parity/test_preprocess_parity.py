"""Preprocessing: Rust and numpy agree on any image and any input spec."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.images.preprocess import normalize, prepare
from furiosa_models.spec import ImageInput, Interpolation
from furiosa_models.types import Platform

LENGTH = st.integers(1, 90)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(LENGTH, LENGTH),
    size=st.tuples(LENGTH, LENGTH),
    mode=st.sampled_from(["stretch", "letterbox", "crop"]),
    method=st.sampled_from(get_args(Interpolation)),
    shorter=LENGTH,
    rounding=st.sampled_from(["floor", "even"]),
    bgr=st.booleans(),
)
def test_prepare_of_rust_equals_numpy(
    shape: tuple[int, int],
    size: tuple[int, int],
    mode: Any,
    method: Any,
    shorter: int,
    rounding: Any,
    bgr: bool,
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    spec = ImageInput(size, mode, method, shorter, rounding, std=(58.4, 57.1, 57.4))
    tensor, context = prepare(image, spec, bgr=bgr, platform=Platform.RUST)
    other, its_context = prepare(image, spec, bgr=bgr, platform=Platform.PYTHON)
    np.testing.assert_array_equal(tensor, other)
    assert context == its_context
    scaled = [
        normalize(tensor[None], spec, platform) for platform in (Platform.RUST, Platform.PYTHON)
    ]
    np.testing.assert_array_equal(scaled[0], scaled[1])
