"""Decoding of pixels: bit depths, palettes, alpha, EXIF orientation and warnings."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from furiosa_models.errors import ImageError
from furiosa_models.images.decoder_warnings import log_decoder_warnings
from furiosa_models.images.read import read_image

RAMP = np.tile(np.arange(0, 256, 4), (8, 1))


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


DAMAGED = {"no TIFF header": b"Exif\0\0LoremIpsum", "cut off": b"Exif\0\0II+\0\x08\0\0\0"}


@pytest.mark.parametrize("block", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_damaged_exif_is_ignored(kind: str, block: bytes) -> None:
    image = Image.new("RGB", (8, 6), (200, 100, 50))
    data = saved(image, kind) if kind == "TIFF" else saved(image, kind, exif=block)
    for source in (data, Image.open(io.BytesIO(data))):
        np.testing.assert_allclose(read_image(source).rgb[0, 0], (200, 100, 50), atol=4)


def test_damaged_png_text_chunk_is_ignored() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n      10\n45786966zz")
    data = saved(Image.new("RGB", (8, 6), (200, 100, 50)), pnginfo=text)
    assert read_image(data).rgb[0, 0].tolist() == [200, 100, 50]


def test_damaged_color_profile_is_ignored() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        image = Image.new("RGB", (8, 6), (200, 100, 50))
        data = saved(image, kind, icc_profile=b"no profile at all")
        np.testing.assert_allclose(read_image(data).rgb[0, 0], (200, 100, 50), atol=4)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_unknown_range_are_rejected(dtype: type) -> None:
    image = Image.fromarray((RAMP * 3922).astype(dtype))
    for source in (image, saved(image, "TIFF")):
        with pytest.raises(ImageError, match="pixels of unknown range"):
            read_image(source)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bit_images_of_both_byte_orders(mode: str) -> None:
    values = (RAMP * 257).astype("<u2" if mode == "I;16" else ">u2")
    image = Image.frombytes(mode, (64, 8), values.tobytes())
    np.testing.assert_array_equal(read_image(image).rgb[:, :, 1], RAMP)


@pytest.mark.parametrize("mode", ["La", "RGBa", "RGBX", "YCbCr", "HSV", "CMYK", "PA", "1", "L"])
def test_every_pillow_mode_is_converted(mode: str) -> None:
    red = Image.new("RGBA", (5, 4), (255, 0, 0, 255))
    steps = {"La": ("LA",), "PA": ("LA",), "RGBa": (), "HSV": ("RGB",), "YCbCr": ("RGB",)}
    for step in (*steps.get(mode, ()), mode):
        red = red.convert(step)
    found = read_image(red).rgb
    is_gray = mode in ("La", "PA", "1", "L")
    expected = (76, 76, 76) if is_gray else (255, 0, 0)
    if mode == "1":
        assert set(found.ravel().tolist()) <= {0, 255}
    else:
        np.testing.assert_allclose(found[0, 0], expected, atol=2)


def test_unconvertible_colors_raise_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("conversion not supported")

    image = Image.new("LAB", (4, 4))
    monkeypatch.setattr(Image.Image, "convert", refuse)
    with pytest.raises(ImageError, match="colors LAB"):
        read_image(image)


@pytest.mark.parametrize(
    "mode", ["RGBA", "LA", "PA", "P", "RGB with a transparent color", "L with one"]
)
def test_background_replaces_transparent_pixels(mode: str) -> None:
    if mode.startswith(("RGB with", "L with")):
        image = Image.new(mode.split()[0], (4, 4), 0)
        data = saved(image, transparency=0 if image.mode == "L" else (0, 0, 0))
    elif mode == "P":
        data = saved(Image.new("P", (4, 4), 0), transparency=0)
    elif mode == "PA":
        data = b""
        clear = Image.new("PA", (4, 4))
        clear.putpalette(bytes(768))
    else:
        data = saved(Image.new(mode, (4, 4), (0,) * len(mode)))
    source: Any = data or clear
    assert read_image(source).rgb[0, 0].tolist() == [0, 0, 0]
    assert read_image(source, background="white").rgb[0, 0].tolist() == [255, 255, 255]
    assert read_image(source, background="#0a1420").rgb[0, 0].tolist() == [10, 20, 32]
    assert read_image(source, background=(10, 20, 32)).rgb[0, 0].tolist() == [10, 20, 32]


def test_half_transparent_image_is_blended_with_the_background() -> None:
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 128))
    found = read_image(image, background="white").rgb[0, 0]
    np.testing.assert_allclose(found, (227, 127, 127), atol=1)
    opaque = Image.new("RGB", (4, 4), (9, 8, 7))
    assert read_image(opaque, background="white").rgb[0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize("background", ["no color", (1, 2), (0, 0, 256)])
def test_invalid_background_is_rejected(background: Any) -> None:
    with pytest.raises(ValueError, match="is not a color"):
        read_image(Image.new("RGB", (1, 1)), background=background)


def test_large_images_are_converted_in_bands() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1100, 1300, 4), dtype=np.uint8)
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(read_image(image).rgb, pixels[:, :, :3])
    gray = Image.fromarray(pixels[:, :, 0])
    np.testing.assert_array_equal(read_image(gray).rgb[:, :, 2], pixels[:, :, 0])
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(deep).rgb[:, :, 2], pixels[:, :, 0])


def test_image_of_the_caller_is_not_modified(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    image = Image.open(path)
    assert read_image(image).rgb.shape == (8, 6, 3)
    assert image.size == (8, 6)
    assert image.getexif()[0x0112] == 6
    assert read_image(image).rgb.shape == (8, 6, 3)


def test_decoder_warnings_are_logged_with_the_file_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "odd.png"
    Image.new("RGB", (4, 4), "red").save(path)
    load = PngImagePlugin.PngImageFile.load_end

    def warns(self: PngImagePlugin.PngImageFile) -> None:
        exec(  # as if in a module of Pillow
            "import warnings; warnings.warn('something is odd')",
            {"__name__": "PIL.PngImagePlugin"},
        )
        load(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_end", warns)
    before = list(warnings.filters), warnings.showwarning
    actions: tuple[Any, ...] = ("error", "ignore", "default")
    for action in actions:
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter(action)
            caplog.clear()
            for source in (path, Image.open(path)):
                assert read_image(source).rgb[0, 0].tolist() == [255, 0, 0]
        assert [r.getMessage() for r in caplog.records] == [
            f"image {str(path)!r}: something is odd"
        ] * 2
    assert (list(warnings.filters), warnings.showwarning) == before


def test_other_warnings_are_not_intercepted() -> None:
    with log_decoder_warnings("a.png"):
        with pytest.warns(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
        told: list[str] = []

        def other() -> None:
            with pytest.warns(UserWarning, match="of another thread"):
                warnings.warn("of another thread", stacklevel=1)
            told.append("")

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert told
