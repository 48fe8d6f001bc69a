"""Photos in a graph: the input of the network and the placement are those of `prepare`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from furiosa_models.catalog import list_models, model_class
from furiosa_models.images.preprocess import prepare
from furiosa_models.spec import ImageInput, Interpolation, Resize

from .running import PLACEMENT, placing, run

SPECS = {name: model_class(name).spec for name in list_models()}
ZOO = {name: spec.input for name, spec in SPECS.items() if spec is not None}
KINDS: dict[str, dict[str, Any]] = {
    "stretch": {"resize": "stretch"},
    "letterbox": {"resize": "letterbox", "pad_value": 7},
    "letterbox at the end": {"resize": "letterbox", "pad_at": "end", "color": "bgr"},
    "crop": {"resize": "crop", "resize_to": 40},
    "crop to even": {"resize": "crop", "resize_to": 41, "crop_rounding": "even"},
    "crop with margins": {"resize": "crop", "resize_to": 20, "crop_rounding": "even"},
}
INTERPOLATIONS: tuple[Interpolation, ...] = (
    "opencv_linear",
    "opencv_area",
    "pillow_bilinear",
    "pillow_bicubic",
)

graph = cache(placing)


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def check(session: ort.InferenceSession, spec: ImageInput, height: int, width: int) -> None:
    image = noise(height, width)
    expected, context = prepare(image, spec)
    found = run(session, {"image": image})
    np.testing.assert_array_equal(found["tensor"], expected[None])
    scale = context.stretch or (context.scale, context.scale)
    for name, value in (
        ("size", (context.width, context.height)),
        ("scale", scale),
        ("pad", context.pad),
    ):
        np.testing.assert_array_equal(found[name], np.array(value, PLACEMENT[name]), err_msg=name)


LENGTHS = st.integers(1, 90)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("kind", KINDS)
@given(height=LENGTHS, width=LENGTHS)
@example(1, 1)
@example(1, 300)
@example(300, 1)
@example(7, 500)
@example(64, 96)  # blocks of 2 x 2
@example(96, 144)  # blocks of 3 x 3
@example(32, 48)  # as the input
@example(31, 49)  # grows along one axis only; some cells begin at a pixel exactly
def test_every_kind_of_input_has_the_pixels_of_preprocess(
    kind: str, interpolation: Interpolation, height: int, width: int
) -> None:
    spec = ImageInput(size=(32, 48), interpolation=interpolation, **KINDS[kind])
    check(graph(spec), spec, height, width)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (375, 500), (640, 427), (1080, 1920)])
def test_every_zoo_model_has_the_pixels_of_preprocess(name: str, size: tuple[int, int]) -> None:
    check(graph(ZOO[name]), ZOO[name], *size)


@given(
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    interpolation=st.sampled_from(INTERPOLATIONS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize_to=st.integers(1, 50),
    photo=st.tuples(LENGTHS, LENGTHS),
)
def test_inputs_of_any_size_have_the_pixels_of_preprocess(
    resize: Resize,
    interpolation: Interpolation,
    size: tuple[int, int],
    resize_to: int,
    photo: tuple[int, int],
) -> None:
    shorter = resize_to if resize == "crop" else None
    spec = ImageInput(size=size, resize=resize, interpolation=interpolation, resize_to=shorter)
    check(placing(spec), spec, *photo)
