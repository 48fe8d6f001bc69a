from __future__ import annotations

import io
import os
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images.read import (
    EncodedPhoto,
    ImageSource,
    buffer_source,
    photo_reference,
    read_image,
)
from furiosa_models.images.sources import expand_sources, is_single

RGB = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(RGB).save(path)
    return path


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def opencv(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode with OpenCV; return BGR pixels."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_all_kinds_of_sources_give_the_same_pixels(png: Path, serve: Callable[[Path], str]) -> None:
    with png.open("rb") as file:
        sources: list[ImageSource] = [
            str(png),
            png,
            png.read_bytes(),
            file,
            Image.open(png),
            f"{serve(png.parent)}/photo.png",
        ]
        for source in sources:
            np.testing.assert_array_equal(read_image(source).rgb, RGB)
    np.testing.assert_array_equal(read_image(RGB, color="rgb").rgb, RGB)
    np.testing.assert_array_equal(read_image(RGB[:, :, ::-1]).rgb, RGB)
    np.testing.assert_array_equal(read_image(np.asarray(cv2.imread(str(png)))).rgb, RGB)


@pytest.mark.parametrize(
    ("mode", "image"),
    [
        ("RGBA", Image.fromarray(np.dstack([RGB, RGB[:, :, :1]]))),
        ("LA", Image.fromarray(RGB[:, :, 0]).convert("LA")),
        ("P", Image.fromarray(RGB).quantize(16)),
        ("L", Image.fromarray(RGB[:, :, 0])),
        ("1", Image.fromarray(RGB[:, :, 0]).convert("1")),
    ],
)
def test_other_modes_equal_those_of_opencv(mode: str, image: Image.Image) -> None:
    assert image.mode == mode
    data = encoded(image)
    expected = opencv(data)[:, :, ::-1]
    np.testing.assert_array_equal(read_image(data).rgb, expected)


def test_palette_with_transparency_gives_no_warning() -> None:
    image = Image.fromarray(RGB).quantize(8)
    data = encoded(image, transparency=bytes(range(8)))
    np.testing.assert_array_equal(read_image(data).rgb, np.asarray(image.convert("RGB")))


def test_sixteen_bit_images_are_scaled_as_by_opencv() -> None:
    gray = np.arange(13 * 17, dtype=np.uint16).reshape(13, 17) * 296
    data = encoded(Image.fromarray(gray))
    expected = opencv(data)
    np.testing.assert_array_equal(read_image(data).rgb, expected)


def test_cmyk_is_converted() -> None:
    image = Image.new("CMYK", (4, 3), (0, 255, 255, 0))
    decoded = read_image(encoded(image, "JPEG", quality=100)).rgb
    assert decoded.shape == (3, 4, 3)
    np.testing.assert_allclose(decoded[0, 0], (255, 0, 0), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_by_opencv(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(RGB), "JPEG", exif=exif.tobytes(), quality=100, subsampling=0)
    expected = opencv(data)[:, :, ::-1]
    decoded = read_image(data).rgb
    assert decoded.shape == expected.shape
    np.testing.assert_allclose(decoded.astype(int), expected, atol=2)


def test_gray_arrays_become_color() -> None:
    for gray in (RGB[:, :, 0], RGB[:, :, :1]):
        pixels = read_image(gray).pixels
        assert pixels.shape == (13, 17, 3)
        np.testing.assert_array_equal(pixels[:, :, 2], RGB[:, :, 0])


@pytest.mark.parametrize(
    "array",
    [
        RGB.astype(np.float32),
        RGB[:, :, :2],
        RGB[0, 0],
        np.dstack([RGB, RGB]),
        np.zeros((0, 5, 3), np.uint8),
        RGB[None],
    ],
    ids=["float", "two channels", "one row of numbers", "six channels", "empty", "batch"],
)
def test_invalid_arrays_are_rejected(array: npt.NDArray[np.generic]) -> None:
    with pytest.raises(ImageError, match=r"must be non-empty uint8 of shape \(h, w, 3\)"):
        read_image(array)


def test_unknown_channel_order_is_rejected() -> None:
    with pytest.raises(ValueError, match="color must be one of bgr, rgb, got 'gbr'"):
        read_image(RGB, color="gbr")  # type: ignore[arg-type]


def test_errors_name_the_bad_file(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a photo")
    empty = tmp_path / "empty.png"
    empty.touch()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(encoded(Image.fromarray(RGB.repeat(20, 0)), "JPEG")[:400])
    for path in (text, empty, cut, tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(ImageError, match=str(path)):
            read_image(path)
    with pytest.raises(ImageError, match="opened"):
        read_image("nul\0byte.jpg")


def test_error_names_the_truncated_file_opened_by_pillow(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(encoded(Image.fromarray(RGB.repeat(20, 0)), "JPEG")[:-200])
    with Image.open(cut) as image, pytest.raises(ImageError, match="cut.jpg"):
        read_image(image)


def bomb() -> bytes:
    """Make a PNG of a few bytes that declares 30000x30000 pixels, but has none."""
    data = bytearray(encoded(Image.new("L", (1, 1))))
    data[16:24] = (30000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_decompression_bomb_is_rejected() -> None:
    with pytest.raises(ImageError, match="900000000 pixels"):
        read_image(bomb())


def test_float_pixels_are_rejected() -> None:
    image = Image.fromarray(np.zeros((3, 3), np.float32))
    with pytest.raises(ImageError, match="float pixels"):
        read_image(image)


@pytest.mark.parametrize("source", [3, None, object(), {"a": 1}.keys])
def test_objects_that_are_not_images_raise_image_error(source: object) -> None:
    with pytest.raises(ImageError, match="expected an image"):
        read_image(source)  # type: ignore[arg-type]


def test_error_names_the_failed_url(serve: Callable[[Path], str], tmp_path: Path) -> None:
    url = f"{serve(tmp_path)}/none.jpg"
    with pytest.raises(ImageError, match=url):
        read_image(url)


def test_image_of_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    np.testing.assert_array_equal(read_image(tmp_path / "one.png").rgb, [[[1, 2, 3]]])


def test_decoded_image_is_returned_as_is(png: Path) -> None:
    decoded = read_image(png)
    assert read_image(decoded, color="rgb") is decoded


def test_photo_reference_keeps_the_source(png: Path) -> None:
    assert photo_reference(png, read_image(png)) == png
    decoded = read_image(RGB)
    assert photo_reference(RGB, decoded) is decoded
    assert photo_reference(decoded, decoded) is decoded
    data = png.read_bytes()
    for source in (data, bytearray(data), io.BytesIO(data)):
        held = buffer_source(source)
        kept = photo_reference(held, read_image(held))
        assert isinstance(kept, EncodedPhoto)
        assert kept.data == data
        np.testing.assert_array_equal(kept.rgb, RGB)
        assert pickle.loads(pickle.dumps(kept)) == kept
    with Image.open(png) as image:
        assert photo_reference(image, read_image(image)) is image


class ResetStream(io.RawIOBase):
    def read(self, *_: object) -> bytes:
        raise ConnectionResetError("peer is gone")


class TextStream(io.RawIOBase):
    def read(self, *_: object) -> Any:
        return 7


def closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (ResetStream(), "peer is gone"),
        (closed(), "closed file"),
        (io.StringIO("words"), "open it in mode 'rb'"),
        (io.BytesIO(), "has no data at its current position"),
        (TextStream(), "cannot be read"),
        ("n" * 5000 + ".jpg", "opened"),
        ("n" * 300 + "/" + "m" * 300, "opened"),
        ("nul\0.mp4", "opened"),
        (os.devnull, "pipe or a device"),
    ],
)
def test_invalid_sources_raise_image_error(source: Any, what: str) -> None:
    with pytest.raises(ImageError, match=what):
        read_image(source)
    assert is_single(source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_is_rejected_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(ImageError, match=r"photo\.jpg.*pass the file object"):
        read_image(tmp_path / "photo.jpg")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd here")
def test_open_pipe_is_read(png: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, png.read_bytes())
    os.close(writer)
    np.testing.assert_array_equal(read_image(f"/dev/fd/{reader}").rgb, RGB)
    os.close(reader)


class BytesPath(os.PathLike[bytes]):
    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)

    def __fspath__(self) -> bytes:
        return self._path


def test_path_and_buffer_types_are_accepted(png: Path) -> None:
    data = png.read_bytes()
    gaps = memoryview(bytes(np.repeat(np.frombuffer(data, np.uint8), 2)))[::2]
    numbers = memoryview(data + bytes(-len(data) % 4)).cast("I")
    sources: list[Any] = [BytesPath(png), gaps, numbers, bytearray(data), memoryview(data)]
    for source in sources:
        assert is_single(source)
        np.testing.assert_array_equal(read_image(source).rgb, RGB)
    assert not is_single(BytesPath(png.parent))
    assert list(expand_sources(BytesPath(png.parent))) == [str(png)]  # type: ignore[arg-type]


def test_numpy_matrix_is_read_as_an_array() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(RGB[:, :, 0])
    np.testing.assert_array_equal(read_image(matrix).rgb[:, :, 1], RGB[:, :, 0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_stream_is_read_from_its_current_position(kind: str) -> None:
    first = encoded(Image.new("RGB", (30, 20), "red"), kind)
    second = encoded(Image.new("RGB", (50, 40), "blue"), kind)
    stream = io.BytesIO(first + second)
    stream.seek(len(first))
    assert read_image(stream).pixels.shape == (40, 50, 3)
    assert not stream.closed


def test_damaged_files_opened_by_pillow_raise_image_error() -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 0, 4, 0) + b"\x02\x02\x4c\x01\x00;"
    cut = encoded(Image.fromarray(RGB.repeat(20, 0)), "PNG")[:-300]
    rle = b"BM" + struct.pack("<IHHI", 118, 0, 0, 118)
    rle += struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 4, 2, 0, 0, 0, 16, 0) + bytes(64)
    for data in (gif, cut, rle):
        try:
            image = Image.open(io.BytesIO(data))
        except Exception:
            continue  # depends on the version of Pillow
        with pytest.raises(ImageError, match="cannot be decoded"):
            read_image(image)


def test_closed_pillow_image_raises_image_error(png: Path) -> None:
    image = Image.open(png)
    image.close()
    with pytest.raises(ImageError, match=r"photo\.png"):
        read_image(image)


VALID = encoded(Image.fromarray(RGB), "JPEG")


@given(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_bytes_give_an_image_or_an_image_error(at: int, patch: bytes) -> None:
    data = VALID[:at] + patch + VALID[at + len(patch) :]
    try:
        pixels = read_image(data).pixels
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


@given(st.binary(max_size=64))
def test_random_bytes_give_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(data)
