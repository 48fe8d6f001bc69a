from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ShapeError
from furiosa_models.images.preprocess import normalize, prepare
from furiosa_models.images.resize import resize
from furiosa_models.spec import ImageContext, ImageInput, as_context
from furiosa_models.types import Platform

from ...platforms import BOTH

SSD = ImageInput(size=(300, 300), mean=(127.0,) * 3, std=(127.0,) * 3)
YOLO = ImageInput(size=(640, 640), resize="letterbox")
RESNET = ImageInput(size=(224, 224), resize="crop", interpolation="opencv_area", resize_to=256)
EFFICIENTNET = ImageInput(
    size=(224, 224),
    resize="crop",
    interpolation="pillow_bicubic",
    resize_to=256,
    crop_rounding="even",
)


def photo(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


@BOTH
def test_stretch_resizes_to_the_input_size(platform: Platform) -> None:
    image = photo(60, 80)
    tensor, context = prepare(image, SSD, platform=platform)
    expected = resize(image, (300, 300), "opencv_linear").transpose(2, 0, 1)
    np.testing.assert_array_equal(tensor, expected)
    assert tensor.flags.c_contiguous
    assert context == ImageContext(80, 60, stretch=(300 / 80, 300 / 60))


@BOTH
@pytest.mark.parametrize(
    ("size", "inner", "offset", "pad"),
    [
        ((480, 640), (480, 640), (80, 0), (0.0, 80.0)),
        ((1080, 1920), (360, 640), (140, 0), (0.0, 140.0)),
        ((333, 500), (426, 640), (107, 0), (0.0, 107.0)),
        ((641, 427), (640, 426), (0, 107), (107.0, 0.0)),
        ((500, 251), (640, 321), (0, 159), (159.5, 0.0)),
        ((1, 5000), (1, 640), (319, 0), (0.0, 319.5)),
    ],
)
def test_letterbox_keeps_the_aspect_ratio(
    platform: Platform,
    size: tuple[int, int],
    inner: tuple[int, int],
    offset: tuple[int, int],
    pad: tuple[float, float],
) -> None:
    image = photo(*size)
    tensor, context = prepare(image, YOLO, platform=platform)
    expected = np.full((640, 640, 3), 114, np.uint8)
    rows, columns = (slice(o, o + n) for o, n in zip(offset, inner, strict=True))
    expected[rows, columns] = resize(image, inner, "opencv_linear")
    np.testing.assert_array_equal(tensor, expected.transpose(2, 0, 1))
    assert context == ImageContext(size[1], size[0], 640 / max(size), pad)


@BOTH
@pytest.mark.parametrize("spec", [RESNET, EFFICIENTNET])
@pytest.mark.parametrize("size", [(300, 400), (401, 300), (256, 256), (257, 259), (100, 131)])
def test_crop_takes_the_center(platform: Platform, spec: ImageInput, size: tuple[int, int]) -> None:
    image = photo(*size)
    height, width = size
    inner = (
        (256, int(256 * width / height)) if height <= width else (int(256 * height / width), 256)
    )
    halve = int if spec is RESNET else round
    top, left = halve((inner[0] - 224) / 2), halve((inner[1] - 224) / 2)
    whole = resize(image, inner, spec.interpolation)
    tensor, context = prepare(image, spec, platform=platform)
    expected = whole[top : top + 224, left : left + 224].transpose(2, 0, 1)
    np.testing.assert_array_equal(tensor, expected)
    assert context == ImageContext(width, height, 256 / min(size), (-left, -top))


@BOTH
def test_crop_larger_than_the_image_is_padded(platform: Platform) -> None:
    spec = ImageInput(size=(9, 9), resize="crop", resize_to=4, pad_value=7)
    tensor, _ = prepare(np.full((4, 4, 3), 200, np.uint8), spec, platform=platform)
    assert (tensor[:, 2:6, 2:6] == 200).all()
    assert (tensor == 7).sum() == 3 * (81 - 16)


@BOTH
@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_channel_order_is_converted(platform: Platform, bgr: bool, color: Any) -> None:
    image = photo(20, 30)
    spec = ImageInput(size=(20, 30), color=color)
    tensor, _ = prepare(image, spec, bgr=bgr, platform=platform)
    flipped = bgr is (color == "rgb")
    expected = image[:, :, ::-1] if flipped else image
    np.testing.assert_array_equal(tensor, expected.transpose(2, 0, 1))


@BOTH
def test_argument_out_is_filled_and_checked(platform: Platform) -> None:
    image = photo(20, 30)
    out = np.empty((3, 300, 300), np.uint8)
    assert prepare(image, SSD, platform=platform, out=out)[0] is out
    for bad in (np.empty((3, 300, 299), np.uint8), np.empty((300, 300, 3), np.uint8).T[::1]):
        with pytest.raises(ShapeError, match="out must be"):
            prepare(image, SSD, platform=platform, out=bad)


@BOTH
def test_normalize_subtracts_and_divides_in_float32(platform: Platform) -> None:
    tensor = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    spec = ImageInput(size=(16, 16), mean=(123.68, 116.78, 103.94), std=(58.4, 57.1, 57.4))
    scaled = normalize(tensor, spec, platform)
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    for channel in range(3):
        expected = (tensor[:, channel].astype(np.float32) - mean[channel]) / std[channel]
        np.testing.assert_array_equal(scaled[:, channel], expected)
    swapped = ImageInput(size=(16, 16), mean=spec.mean, std=spec.std, color="bgr")
    np.testing.assert_array_equal(normalize(tensor, swapped, platform), scaled[:, ::-1])
    with pytest.raises(ShapeError, match=r"tensor must be a uint8 array of shape \(n, 3, h, w\)"):
        normalize(tensor[0], spec, platform)


def test_contexts_are_mappings_with_the_old_keys() -> None:
    context = ImageContext(640, 480, 0.5, (1.0, 2.0))
    assert dict(context) == {"width": 640, "height": 480, "scale": 0.5, "pad": (1.0, 2.0)}
    assert as_context(context) is context
    assert as_context({"width": 640, "height": 480}) == ImageContext(640, 480)
    assert as_context({"scale": 0.5, "pad": (1, 2)}) == ImageContext(0, 0, 0.5, (1.0, 2.0))
    assert as_context(dict(context)) == context
    with pytest.raises(KeyError):
        context["color"]
    for bad in ({"color": 1}, {"pad": 3}, 7):
        with pytest.raises(ValueError, match="a context with the keys"):
            as_context(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": "zoom"}, "resize must be one of stretch, letterbox, crop"),
        ({"interpolation": "nearest"}, "interpolation must be one of"),
        ({"color": "cmyk"}, "color must be one of rgb, bgr"),
        ({"resize": "crop"}, "needs resize_to"),
        ({"std": (1.0, 0.0, 1.0)}, "std must not contain 0"),
    ],
)
def test_invalid_input_spec_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageInput(size=(8, 8), **change)


@BOTH
def test_gray_arrays_are_rejected(platform: Platform) -> None:
    with pytest.raises(ShapeError, match=r"h x w x 3 .* got uint8 of shape \(4, 4\)"):
        prepare(np.zeros((4, 4), np.uint8), SSD, platform=platform)
