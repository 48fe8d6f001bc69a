"""Limits of memory and time, which are checked before decoding."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images import jpeg, limits
from furiosa_models.images.decode import decoding_bytes
from furiosa_models.images.jpeg import read_header
from furiosa_models.images.read import MAX_BYTES, read_image
from furiosa_models.vision import SSDMobileNet


def encoded(
    kind: str, size: tuple[int, int] = (400, 300), mode: str = "RGB", **options: Any
) -> bytes:
    pixels = np.linspace(0, 255, size[0] * size[1]).reshape(size[::-1]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a memory limit that a photo of 400x300 exceeds."""
    monkeypatch.setattr(limits, "MAX_BYTES", 300_000)


KINDS = {
    "JPEG": {},
    "JPEG, progressive": {"progressive": True},
    "PNG": {},
    "PNG, RGBA": {"mode": "RGBA"},
    "GIF": {"mode": "P"},
    "BMP": {},
    "TIFF": {},
    "TIFF, in one strip": {"compression": "tiff_lzw", "tiffinfo": {278: 300}},
    "WEBP": {},
    "PPM": {},
    "TGA": {},
    "SGI": {},
    "PCX": {},
}


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_checked_before_decoding(kind: str) -> None:
    options: dict[str, Any] = KINDS[kind]  # type: ignore[assignment]
    data = encoded(kind.partition(",")[0], **options)
    with pytest.raises(ImageError, match=r"400x300 pixels.*MB to decode"):
        read_image(data)
    with Image.open(io.BytesIO(data)) as image, pytest.raises(ImageError, match="MB to decode"):
        read_image(image)


def test_large_tiles_of_a_small_tiff_count() -> None:
    tags = {
        256: 16,
        257: 16,
        258: 8,
        259: 5,
        262: 1,
        277: 1,
        322: 60000,
        323: 60000,
        324: 8,
        325: 1,
    }
    entries = b"".join(
        struct.pack("<HHII", number, 4, 1, value) for number, value in sorted(tags.items())
    )
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(5)
    with pytest.raises(ImageError, match="MB to decode"):
        read_image(data)


def png_with_declared_size(width: int, height: int, depth: int, colors: int) -> bytes:
    """Make a PNG that declares a size, but has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colors, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "depth", "colors"), [(13000, 16, 6), (9000, 8, 2), (11000, 8, 3)])
def test_png_that_declares_a_large_size_is_rejected(side: int, depth: int, colors: int) -> None:
    with pytest.raises(ImageError, match="MB to decode"):
        read_image(png_with_declared_size(side, side, depth, colors))


def jpeg_with_declared_size(claimed: tuple[int, int], data: bytes) -> bytes:
    """Make a JPEG that declares another size."""
    at = data.index(b"\xff\xc0") if b"\xff\xc0" in data else data.index(b"\xff\xc2")
    return data[: at + 5] + struct.pack(">HH", *claimed) + data[at + 9 :]


def test_jpeg_that_declares_a_large_size_is_rejected() -> None:
    for data in (encoded("JPEG"), encoded("JPEG", progressive=True), encoded("JPEG", mode="CMYK")):
        claim = jpeg_with_declared_size((13000, 13000), data)
        with pytest.raises(ImageError, match="13000x13000 pixels.*MB to decode"):
            read_image(claim)
        with suppress(ImageError):  # Pillow may accept the missing data
            drafted = read_image(claim, needed=lambda *_: (300, 300))
            assert drafted.pixels.nbytes < limits.MAX_BYTES / 3


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpeg_is_downscaled_for_a_small_network(
    mode: str,
    orientation: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES", 400_000)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded("JPEG", (500, 400), mode, exif=exif.tobytes())
    with caplog.at_level(logging.WARNING):
        image = read_image(data, needed=lambda *_: (90, 90))
    upright = (400, 500) if orientation == 1 else (500, 400)
    assert image.drafted_from == upright
    assert image.pixels.shape[:2] == (upright[0] // 2, upright[1] // 2)
    assert "decoded at 1/2 of its 500x400 pixels" in caplog.text
    with pytest.raises(ImageError, match="MB to decode"):
        read_image(data, needed=lambda *_: (390, 390))  # the network has a large input
    small = read_image(encoded("JPEG", (200, 100), mode), needed=lambda *_: (9, 9))
    assert small.drafted_from is None


def test_predict_and_preprocess_downscale_large_jpegs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded("JPEG", (1300, 1200))
    monkeypatch.setattr(limits, "MAX_BYTES", 1_300_000)
    model = SSDMobileNet(weights="random")
    _, contexts = model.preprocess([data])
    assert (contexts[0].width, contexts[0].height) == (1300, 1200)
    few: dict[str, Any] = {"device": "cpu", "score_threshold": 1.0}
    for found in (model.predict(data, **few), *model.predict([data, data], **few)):
        with pytest.raises(ImageError, match="MB to decode"):
            found.plot()


def test_jpeg_headers_are_read() -> None:
    for options in ({}, {"progressive": True}, {"mode": "L"}, {"subsampling": 0}):
        header = read_header(encoded("JPEG", **options))
        assert header is not None
        assert (header.width, header.height) == (400, 300)
        assert bool(header.coefficients) is ("progressive" in options)
    for data in (
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        encoded("JPEG")[:200],
        b"\xff\xd8" + b"\xff" * 99,
    ):
        assert read_header(data) is None


def test_jpeg_with_too_many_scans_is_rejected() -> None:
    plain = encoded("JPEG", (3200, 3200), "L", progressive=True)
    last = plain.rindex(b"\xff\xda")
    bomb = plain[:-2] + plain[last:-2] * 200 + b"\xff\xd9"
    for source in (bomb, Image.open(io.BytesIO(bomb))):
        with pytest.raises(ImageError, match="scans"):
            read_image(source)
    small = encoded("JPEG", progressive=True)
    last = small.rindex(b"\xff\xda")
    again = small[:-2] + small[last:-2] * 30 + b"\xff\xd9"
    header = read_header(again)
    assert header is not None
    assert header.scans > jpeg._MAX_SCANS
    header.check_scans("a.jpg")


def test_too_large_files_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("furiosa_models.images.decode.MAX_ENCODED_BYTES", 1000)
    data = encoded("JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    for source in (io.BytesIO(data), tmp_path / "a.jpg"):
        with pytest.raises(ImageError, match="larger than the limit of 1000 bytes"):
            read_image(source)


def run_length_bmp(width: int, height: int) -> bytes:
    """Make a run-length encoded BMP of one color, which Pillow decodes slowly in Python."""
    row = b"\xff\x07" * (width // 255) + bytes((width % 255 or 1, 7)) + b"\0\0"
    body = row * height + b"\0\1"
    palette = b"".join(bytes((i, i, i, 0)) for i in range(256))
    start = 54 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    sizes = 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0
    return head + struct.pack("<IiiHHIIiiII", *sizes) + palette + body


def test_decoders_in_python_have_a_time_limit() -> None:
    assert read_image(run_length_bmp(300, 200)).rgb[50, 50].tolist() == [7, 7, 7]
    large = run_length_bmp(5000, 4000)
    for source in (large, Image.open(io.BytesIO(large))):
        with pytest.raises(ImageError, match="takes too long to decode"):
            read_image(source)


def test_slow_format_opened_by_pillow_is_read() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (800, 1200, 3))
    data = b"P6 1200 800 65535\n" + values.astype(">u2").tobytes()
    with Image.open(io.BytesIO(data)) as image:
        pixels = read_image(image).rgb
        assert np.abs(pixels - (values >> 8)).max() <= 1
        assert image.fp is not None


@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_memory_is_known_from_the_header(
    kind: str, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {**KINDS[kind]}  # type: ignore[dict-item]
    if turned:
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif.tobytes()
    data = encoded(kind.partition(",")[0], **options)
    known = decoding_bytes(data)
    monkeypatch.setattr(limits, "MAX_BYTES", known)
    assert read_image(data).pixels.nbytes <= known  # the checks require no more
    monkeypatch.setattr(limits, "MAX_BYTES", known // 7)
    with pytest.raises(ImageError, match="MB to decode"):
        read_image(data)


def test_decoding_memory_of_unusual_files() -> None:
    assert decoding_bytes(b"%PDF") == 4
    assert decoding_bytes(encoded("PNG")[:20]) == 20  # it cannot be decoded
    assert decoding_bytes(encoded("TIFF")[:20]) == MAX_BYTES
    assert decoding_bytes(b"P2 99999 99999 255\n1 2 3") == MAX_BYTES
    wide = encoded("TIFF", mode="CMYK")
    assert decoding_bytes(wide) >= len(wide) + 11 * 400 * 300
