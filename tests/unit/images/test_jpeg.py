from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from furiosa_models.images import jpeg
from furiosa_models.images.preprocess import prepare
from furiosa_models.images.read import read_image
from furiosa_models.spec import ImageInput
from furiosa_models.types import Platform
from furiosa_models.vision import EfficientNetB0, SSDMobileNet

from ...conftest import ROOT
from ...platforms import BOTH

PHOTO = ROOT / "examples" / "images" / "coffee.png"
NAME = "a.jpg"


def encoded(size: tuple[int, int] = (61, 47), mode: str = "RGB", **options: Any) -> bytes:
    with Image.open(PHOTO) as image:
        buffer = io.BytesIO()
        image.convert(mode).resize(size).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def rotated(orientation: int, size: tuple[int, int] = (61, 47)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(size, exif=exif.tobytes())


def pillow(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode with Pillow alone; return upright pixels."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def decode(data: bytes) -> npt.NDArray[np.uint8]:
    decoded = jpeg.decode_jpeg(data, NAME)
    assert decoded is not None
    return decoded[0]


@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0", "4:1:1"]),
    progressive=st.booleans(),
    mode=st.sampled_from(["RGB", "L"]),
)
def test_pixels_equal_those_of_pillow(
    size: tuple[int, int], mode: str, quality: int, subsampling: str, progressive: bool
) -> None:
    data = encoded(size, mode, quality=quality, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(decode(data), pillow(data))


@pytest.mark.parametrize("orientation", range(10))
def test_rotated_photos_equal_those_of_pillow(orientation: int) -> None:
    data = rotated(orientation)
    pixels = read_image(data).pixels
    np.testing.assert_array_equal(pixels, pillow(data))
    assert pixels.flags.c_contiguous


def test_orientation_is_read_from_xmp() -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(xmp=packet)
    np.testing.assert_array_equal(decode(data), pillow(data))
    assert decode(data).shape == (61, 47, 3)


def orientation_by_pillow(data: bytes) -> int:
    """Read the orientation with Pillow; 1 if it is unknown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                return int(image.getexif().get(0x0112, 1))
        except Exception:
            return 1


def with_exif(order: Literal["II", "MM"], *blocks: bytes, cut: int = 0) -> bytes:
    """Make a photo with EXIF and other blocks; the last `cut` bytes of the EXIF are missing."""
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    for tag, value in {0x010F: "Maker of cameras", 0x0110: "Q", 0x0112: 6, 0x011A: 72.0}.items():
        exif[tag] = value
    tiff = exif.tobytes()
    options: dict[str, Any] = {"xmp": blocks[0]} if blocks else {}
    return encoded(exif=tiff[: len(tiff) - cut], **options)


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("blocks", [(), (b'<r tiff:Orientation="3"/>',)])
def test_typical_exif_is_read_without_pillow(
    order: Literal["II", "MM"], blocks: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = with_exif(order, *blocks)
    upright = encoded()
    assert orientation_by_pillow(data) == 6
    monkeypatch.setattr(Image, "open", None)
    assert decode(data).shape == (61, 47, 3)
    assert decode(upright).shape == (47, 61, 3)


@given(
    order=st.sampled_from(["II", "MM"]),
    changes=st.dictionaries(st.integers(0, 160), st.integers(0, 255), max_size=4),
    has_xmp=st.booleans(),
    cut=st.integers(0, 40),
)
@settings(max_examples=400)
def test_damaged_exif_gives_the_orientation_of_pillow(
    order: Literal["II", "MM"], changes: dict[int, int], has_xmp: bool, cut: int
) -> None:
    blocks = (b'<r tiff:Orientation="3"/>',) if has_xmp else ()
    data = bytearray(with_exif(order, *blocks, cut=cut))
    start = data.index(b"Exif")
    size = int.from_bytes(data[start - 2 : start], "big") - 2
    for place, value in changes.items():
        data[start + place % size] = value
    assert jpeg._orientation(bytes(data), NAME) == orientation_by_pillow(bytes(data))


def test_jpeg_in_rgb_equals_that_of_pillow() -> None:
    data = encoded(keep_rgb=True, subsampling=0)
    np.testing.assert_array_equal(decode(data), pillow(data))


def test_cmyk_and_damaged_jpegs_are_left_to_pillow() -> None:
    whole = encoded((300, 200))
    assert jpeg.decode_jpeg(encoded(mode="CMYK"), NAME) is None
    assert jpeg.decode_jpeg(whole[:-500], NAME) is None
    assert jpeg.decode_jpeg(b"\xff\xd8\xff", NAME) is None


def test_reused_buffer_is_overwritten_by_the_next_photo() -> None:
    small, large = encoded((40, 30)), encoded((61, 47))
    first = read_image(large, reuse_buffer=True).pixels
    np.testing.assert_array_equal(first, pillow(large))
    kept = read_image(small).pixels
    np.testing.assert_array_equal(first, pillow(large))
    second = read_image(small, reuse_buffer=True).pixels
    assert np.shares_memory(first, second)
    assert not np.shares_memory(kept, second)
    np.testing.assert_array_equal(second, pillow(small))
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(read_image, large, reuse_buffer=True).result().pixels
    assert not np.shares_memory(elsewhere, second)
    whole = read_image(rotated(6), reuse_buffer=True).pixels
    assert not np.shares_memory(whole, second)


def test_batch_equals_single_photos() -> None:
    model = SSDMobileNet(weights="random")
    photos = [encoded((640, 480), quality=quality) for quality in (20, 40, 60, 80, 95)]
    together, _ = model.preprocess(photos)
    for photo, tensor in zip(photos, together, strict=True):
        np.testing.assert_array_equal(model.preprocess([photo])[0][0], tensor)


def test_pixels_are_the_same_without_the_fast_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [encoded(), rotated(6), encoded(mode="L")]
    fast = [read_image(data).pixels for data in photos]
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: None)
    assert jpeg.decode_jpeg(photos[0], NAME) is None
    for data, expected in zip(photos, fast, strict=True):
        np.testing.assert_array_equal(read_image(data).pixels, expected)


@pytest.mark.accuracy
def test_pixels_of_real_photos_equal_those_of_pillow(data: Path) -> None:
    photos = {path: path.read_bytes() for path in sorted(data.glob("*/*/*")) if path.is_file()}
    photos = {path: photo for path, photo in photos.items() if jpeg.is_jpeg(photo)}
    assert len(photos) > 400
    for path, photo in photos.items():
        np.testing.assert_array_equal(read_image(path).pixels, pillow(photo), str(path))


@pytest.mark.parametrize(
    ("size", "resized", "expected"),
    [
        ((1080, 1920), (300, 300), 2),
        ((1080, 1920), (224, 398), 4),
        ((480, 640), (300, 300), 1),
        ((2160, 3840), (300, 300), 4),
        ((2400, 2400), (300, 300), 8),
        ((2392, 2392), (299, 299), 8),
        ((2391, 2391), (299, 299), 8),
        ((2384, 2384), (299, 299), 4),
        ((100, 100), (300, 300), 1),
        ((600, 100), (300, 60), 1),
    ],
)
def test_reduction_factor(size: tuple[int, int], resized: tuple[int, int], expected: int) -> None:
    assert jpeg.reduction_factor(*size, resized) == expected


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_is_smaller_and_has_the_original_size(orientation: int) -> None:
    data = rotated(orientation, (1921, 1081))
    upright = (1081, 1921) if orientation == 1 else (1921, 1081)
    spec = ImageInput(size=(224, 224), resize="crop", resize_to=256)
    image = read_image(data, draft=spec.resized)
    assert image.drafted_from == upright
    assert image.pixels.shape == (*(-(-side // 4) for side in upright), 3)
    buffer = np.frombuffer(data, np.uint8)
    reduced = np.asarray(cv2.imdecode(buffer, cv2.IMREAD_REDUCED_COLOR_4))
    np.testing.assert_array_equal(image.rgb, reduced[:, :, ::-1])


def test_small_jpegs_and_other_formats_are_not_drafted() -> None:
    spec = ImageInput(size=(300, 300))
    small = read_image(encoded((598, 598)), draft=spec.resized)
    png = read_image(PHOTO, draft=spec.resized)
    assert small.drafted_from is None
    assert small.pixels.shape == (598, 598, 3)
    assert png.drafted_from is None


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("orientation", [1, 8])
def test_draft_has_the_position_of_the_photo(resize: Any, orientation: int) -> None:
    spec = ImageInput(size=(96, 128), resize=resize, resize_to=100)
    data = rotated(orientation, (1001, 703))
    whole, draft = read_image(data), read_image(data, draft=spec.resized)
    assert draft.pixels.size < whole.pixels.size / 3
    expected, context = prepare(whole.pixels, spec)
    tensor, its_context = prepare(draft.pixels, spec, size=draft.drafted_from)
    assert its_context == context
    # Bilinear sampling skips pixels of the larger image: details differ, but not positions.
    assert np.abs(tensor.astype(int) - expected).mean() < 8


@BOTH
def test_models_decode_drafts_on_request(platform: Platform) -> None:
    data = encoded((1920, 1080))
    for model in (
        SSDMobileNet(weights="random", postprocessor_type=platform),
        EfficientNetB0(weights="random", postprocessor_type=platform),
    ):
        exact, _ = model.preprocess([data])
        draft, contexts = model.preprocess([data], draft=True)
        assert contexts is not None
        assert (contexts[0].width, contexts[0].height) == (1920, 1080)
        difference = np.abs(draft.astype(int) - exact).mean()
        assert 0 < difference < 4


def test_boxes_found_on_a_draft_are_drawn_at_full_size() -> None:
    model = SSDMobileNet(weights="random")
    found = model.predict(encoded((1300, 1200)), draft=True, device="cpu", score_threshold=1.0)
    assert found.plot().size == (1300, 1200)
    draft = read_image(encoded((1300, 1200)), draft=ImageInput((300, 300)).resized)
    assert draft.drafted_from == (1200, 1300)
    assert found.plot(draft).size == (1300, 1200)


class Stream(io.RawIOBase):
    """A stream without seek, such as a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


def stream(data: bytes) -> BinaryIO:
    return cast("BinaryIO", Stream(data))


def test_unseekable_streams_are_read() -> None:
    with Image.open(PHOTO) as image:
        png = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(stream(PHOTO.read_bytes())).pixels, png)
    data = encoded()
    np.testing.assert_array_equal(read_image(stream(data)).pixels, pillow(data))
